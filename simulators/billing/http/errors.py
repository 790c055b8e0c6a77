"""Problem documents (RFC 9457): one shape for every error, with nothing of the input in it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from simulators.billing.problems import Problem

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

log = structlog.get_logger("billing.http")

MEDIA_TYPE = "application/problem+json"
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def document(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    **extra: object,
) -> JSONResponse:
    """Make the response for one problem."""
    content = {
        "type": f"urn:billing:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **extra,
    }
    if request_id:
        content["request_id"] = request_id
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _internal)


def _request_id(request: Request) -> str | None:
    found: str | None = getattr(request.state, "request_id", None)
    return found


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    request.state.code = error.code
    return document(
        error.status,
        error.code,
        error.detail,
        request_id=_request_id(request),
        headers=error.headers,
        **error.extra,
    )


async def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = error.errors()
    request_id = _request_id(request)
    if any(each["type"] == "json_invalid" for each in errors):
        return document(400, "malformed_json", "The body is not JSON.", request_id=request_id)
    # Where and why, never what: an input can hold a card number.
    fields = [{"field": _path(each["loc"]), "message": each["type"]} for each in errors]
    return document(
        422,
        "validation_failed",
        "The request does not have the shape that is documented.",
        request_id=request_id,
        errors=fields,
    )


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = _CODES.get(error.status_code, "bad_request")
    detail = HTTPStatus(error.status_code).description or HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _allowed(request)):
        headers["Allow"] = ", ".join(methods)
    request_id = _request_id(request)
    return document(error.status_code, code, detail, request_id=request_id, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Name every method of the path; a route by itself knows only its own."""
    path = request.url.path
    found: Mapping[str, tuple[re.Pattern[str], list[str]]] = request.app.state.places
    if path in found:
        return found[path][1]
    return sorted(
        {m for pattern, methods in found.values() if pattern.match(path) for m in methods}
    )


def places(document: Mapping[str, Any]) -> dict[str, tuple[re.Pattern[str], list[str]]]:
    """Give the pattern and the methods of each documented path."""
    return {
        path: (compile_path(path)[0], sorted(method.upper() for method in item))
        for path, item in document["paths"].items()
    }


async def _internal(request: Request, error: Exception) -> Response:
    about = {"request_id": _request_id(request), "error": type(error).__name__}
    log.error("unhandled", **about, exc_info=error)
    return document(500, "internal_error", "Something broke here.", request_id=_request_id(request))


def _path(location: Sequence[str | int]) -> str:
    return ".".join(str(part)[:64] for part in location)
