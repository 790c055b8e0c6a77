"""How a route documents its refusals: every status with its schema and its codes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from simulators.billing.http.errors import MEDIA_TYPE
from simulators.billing.http.models import ProblemDocument

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVERYWHERE = {400: ("malformed_json",), 413: ("body_too_large",), 422: ("validation_failed",)}
_POST = {409: ("idempotency_key_in_flight",), 422: ("idempotency_key_reused",)}
_KEYED = {401: ("unauthenticated",), 404: ("not_found",), 429: ("rate_limited",)}


def refusals(
    codes: Mapping[int, tuple[str, ...]] | None = None, *, keyed: bool = True, post: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Give FastAPI's `responses` for the problem codes that a route can answer."""
    merged: dict[int, tuple[str, ...]] = {}
    for part in (_EVERYWHERE, _KEYED if keyed else {}, _POST if post else {}, codes or {}):
        for status, names in part.items():
            merged[status] = merged.get(status, ()) + names
    return {status: _response(status, names) for status, names in sorted(merged.items())}


def as_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Move the schema of each refusal to the media type that it has; FastAPI says JSON for all."""
    for item in document["paths"].values():
        for operation in item.values():
            for reply in operation["responses"].values():
                content = reply.get("content", {})
                if MEDIA_TYPE in content:
                    content[MEDIA_TYPE] |= content.pop("application/json", {})
    return document


def _response(status: int, codes: tuple[str, ...]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    examples = {code: {"value": _example(status, code)} for code in codes}
    found: dict[str, Any] = {
        "model": ProblemDocument,
        "description": f"{phrase}: {', '.join(f'`{code}`' for code in codes)}",
        "content": {MEDIA_TYPE: {"examples": examples}},
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        schema = {"type": "integer"}
        found["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": schema}}
    return found


def _example(status: int, code: str) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    kind = f"urn:billing:problem:{code}"
    return {"type": kind, "title": title, "status": status, "detail": title, "code": code}
