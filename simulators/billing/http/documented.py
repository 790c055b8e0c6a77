"""How a route documents its refusals: every status with its schema and its codes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from simulators.billing.http.errors import MEDIA_TYPE
from simulators.billing.http.models import ProblemDocument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.billing.settings import Settings

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key brings the first answer again, for a day at least.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_LIMIT_HEADERS = {
    "X-RateLimit-Limit": ("Requests in an hour.", "integer"),
    "X-RateLimit-Remaining": ("What is left of them.", "integer"),
    "X-RateLimit-Reset": ("When one more is free again (Unix seconds).", "integer"),
    "RateLimit-Policy": ("The same limit, as the IETF writes it.", "string"),
    "RateLimit": ("The same remainder, as the IETF writes it.", "string"),
}
_OF_CUSTOMER = {"customer_id": "$response.body#/customer_id"}
_SAME_CUSTOMER = {"customer_id": "$request.path.customer_id"}
_PAYMENT = "$response.body#/data/0/id"
# What can be done next with what an operation answered: operation, its parameters, its body.
_LINKS: dict[str, tuple[tuple[str, dict[str, str], dict[str, str] | None], ...]] = {
    "onboard": tuple(
        (name, _OF_CUSTOMER, None)
        for name in (
            *("get_customer", "add_payment_method", "list_payment_methods", "set_plan"),
            *("subscribe", "usage", "transactions", "payments", "fix_attempts", "invoices"),
            *("adjust_credits", "close_customer"),
        )
    ),
    "add_payment_method": (
        ("subscribe", _SAME_CUSTOMER, None),
        ("set_plan", _SAME_CUSTOMER, None),
        (
            "remove_payment_method",
            {**_SAME_CUSTOMER, "payment_method_id": "$response.body#/payment_method_id"},
            None,
        ),
    ),
    "subscribe": tuple(
        (name, _SAME_CUSTOMER, None)
        for name in (
            *("get_subscription", "change_subscription", "cancel_subscription"),
            *("resume_subscription", "payments", "invoices"),
        )
    ),
    "payments": (("refund_payment", {"payment_id": _PAYMENT}, None),),
    "create_key": (
        ("revoke_key", {"key_id": "$response.body#/key_id"}, None),
        ("rotate_key", {}, {"key_id": "$response.body#/key_id"}),
    ),
}

_EVERYWHERE = {
    400: ("malformed_json",),
    408: ("request_timeout",),
    413: ("body_too_large",),
    422: ("validation_failed",),
    503: ("storage_unavailable",),
}
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


def complete(document: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Add what FastAPI cannot know: limits, idempotency keys, links, and what settings allow."""
    as_problems(document)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "post" and path.startswith("/api/v1/"):
                operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
            _complete_replies(operation)
            _link(operation)
    schemas = document["components"]["schemas"]
    for name in ("SubscribeBody", "QuantityBody"):
        schemas[name]["properties"]["quantity"]["maximum"] = settings.pro_quantity_max
    providers = schemas["ExchangeBody"]["properties"]["providers"]["items"]
    providers["enum"] = list(settings.credential_providers)
    return document


def _complete_replies(operation: dict[str, Any]) -> None:
    is_limited = "429" in operation["responses"]
    for status, reply in operation["responses"].items():
        headers = reply.setdefault("headers", {})
        headers["X-Request-Id"] = _header("Names this request in the logs.", "string")
        if is_limited:
            headers |= {name: _header(*told) for name, told in _LIMIT_HEADERS.items()}
        if status in {"429", "503"}:
            headers["Retry-After"] = _header("Seconds to wait.", "integer")
        if status == "401":
            headers["WWW-Authenticate"] = _header("How to identify oneself.", "string")


def _link(operation: dict[str, Any]) -> None:
    status = "201" if "201" in operation["responses"] else "200"
    for name, parameters, body in _LINKS.get(operation["operationId"], ()):
        link: dict[str, Any] = {"operationId": name, "parameters": parameters}
        if body is not None:
            link["requestBody"] = body
        operation["responses"][status].setdefault("links", {})[name] = link


def _header(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


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
    return found


def _example(status: int, code: str) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    kind = f"urn:billing:problem:{code}"
    return {"type": kind, "title": title, "status": status, "detail": title, "code": code}
