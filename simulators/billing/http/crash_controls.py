"""Test controls for crashes: failpoints, and a pass of the reconciler."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from simulators.billing import failpoints
from simulators.billing.http.documented import refusals
from simulators.billing.http.test_controls import router as controls
from simulators.billing.problems import Refusal

if TYPE_CHECKING:
    from simulators.billing.worker.loop import Worker

router = APIRouter(prefix="/test", tags=["test controls"], dependencies=controls.dependencies)
_KEYED = {401: ("unauthenticated",)}


class ArmBody(BaseModel):
    """What a place is to do at its nth hit, counted over all processes; `off` takes it back."""

    name: Annotated[str, Field(max_length=100)]
    action: Literal["pause", "fail", "kill", "off"]
    nth: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class ArmedView(BaseModel):
    """A place that was armed, and how far it is."""

    name: str
    action: Literal["pause", "fail", "kill"]
    nth: int
    hits: int
    has_acted: bool


class Failpoints(BaseModel):
    """Every place with what it is, and those that are armed."""

    places: dict[str, str]
    armed: list[ArmedView]


class Reconciled(BaseModel):
    """What a pass settled by kind, what it left to a person, and which steps failed at Stripe."""

    settled: dict[str, int]
    findings: list[tuple[str, str]]
    failed_steps: list[str]


@router.get("/failpoints", response_model=Failpoints, responses=refusals(_KEYED, keyed=False))
def list_failpoints() -> Response:
    """List the places and what is armed."""
    return _listing()


@router.post(
    "/failpoints",
    response_model=Failpoints,
    responses=refusals({**_KEYED, 422: ("unknown_failpoint",)}, keyed=False),
)
def arm_failpoint(body: ArmBody) -> Response:
    """Have a place pause, fail or kill the process that passes it, once, at the nth hit."""
    if body.name not in failpoints.PLACES:
        raise Refusal(422, "unknown_failpoint", "There is no place of that name.")
    if body.action == "off":
        failpoints.disarm(body.name)
    else:
        failpoints.arm(body.name, body.action, body.nth)
    return _listing()


@router.post("/reconcile", response_model=Reconciled, responses=refusals(_KEYED, keyed=False))
def reconcile(request: Request) -> Response:
    """Make a pass of the reconciler now, and tell what came of it."""
    worker: Worker = request.app.state.worker
    return JSONResponse(asdict(worker.reconciler.run()))


def _listing() -> Response:
    armed = [asdict(each) for each in failpoints.armed_places()]
    return JSONResponse({"places": dict(failpoints.PLACES), "armed": armed})
