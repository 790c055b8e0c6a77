"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from simulators.billing.http import models
from simulators.billing.http.auth import core_of, limiter_of
from simulators.billing.http.documented import refusals
from simulators.billing.problems import Unsettled
from simulators.billing.storage.migrate import is_at_head

router = APIRouter(tags=["health"])


@router.get("/health", response_model=models.Standing)
async def health(request: Request) -> Response:
    """Say that the process lives, and in which environment; asks nothing of anybody."""
    return JSONResponse({"status": "ok", "environment": _environment(request)})


@router.get(
    "/ready",
    response_model=models.Standing,
    responses=refusals({503: ("not_ready",)}, keyed=False),
)
def ready(request: Request) -> Response:
    """Say whether the database is there, at the newest revision, and takes what is written."""
    try:
        if not is_at_head(core_of(request).database.engine):
            raise Unsettled("not_ready", "The database is not at the newest revision.")
        limiter_of(request).readiness()
    except SQLAlchemyError as error:
        raise Unsettled("not_ready", "The database cannot be written.") from error
    return JSONResponse({"status": "ready", "environment": _environment(request)})


def _environment(request: Request) -> str:
    """Give the environment's name, by which whoever tests knows production."""
    return core_of(request).settings.environment
