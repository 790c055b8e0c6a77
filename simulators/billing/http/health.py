"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from simulators.billing.http import models
from simulators.billing.http.auth import core_of
from simulators.billing.http.documented import refusals
from simulators.billing.problems import Unsettled
from simulators.billing.storage.migrate import is_at_head

router = APIRouter(tags=["health"])


@router.get("/health", response_model=models.Standing)
async def health() -> Response:
    """Say that the process lives; asks nothing of anybody."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/ready",
    response_model=models.Standing,
    responses=refusals({503: ("not_ready",)}, keyed=False),
)
def ready(request: Request) -> Response:
    """Say whether the database is there and at the newest revision."""
    try:
        at_head = is_at_head(core_of(request).database.engine)
    except SQLAlchemyError as error:
        raise Unsettled("not_ready", "The database cannot be reached.") from error
    if not at_head:
        raise Unsettled("not_ready", "The database is not at the newest revision.")
    return JSONResponse({"status": "ready"})
