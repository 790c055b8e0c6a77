"""How Loom says no: every refusal in one form, whoever found the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from tests.targets.loom import shapes
from tests.targets.plumbing import Doubt, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from fastapi import Request, Response

_METHOD_NOT_ALLOWED = 405
_NOT_SIGNED_IN = 401


def problem(
    status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Say no."""
    trouble = shapes.Problem(error=shapes.Trouble(code=code, detail=detail))
    if status == _NOT_SIGNED_IN:
        headers = {"WWW-Authenticate": "Bearer"}
    return JSONResponse(trouble.model_dump(), status, headers)


async def _on_refusal(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return problem(refusal.status, refusal.code, refusal.detail)


async def _on_doubt(_: Request, __: Exception) -> Response:
    return problem(503, "payments_unavailable", "Ask again: it may have happened.")


async def _on_nonsense(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem(422, "not_valid", f"{where}: {first['msg']}")


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = error.detail.lower().replace(" ", "_")
    headers = dict(error.headers or {})
    if error.status_code == _METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_at(request))
    return problem(error.status_code, code, error.detail, headers)


def _methods_at(request: Request) -> list[str]:
    """Give what may be done at a path: it may have a route for each method (RFC 9110, 15.5.6)."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in route.methods or ()})


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    Refusal: _on_refusal,
    Doubt: _on_doubt,
    RequestValidationError: _on_nonsense,
    HTTPException: _on_http,
}
