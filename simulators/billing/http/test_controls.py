"""Test controls: a clock, a drain, a purge. Mounted with a token only, never in production."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, Security
from fastapi.security import APIKeyHeader
from starlette.responses import JSONResponse

from simulators.billing.clock import ClockBackwardsError, MovableClock
from simulators.billing.http import bodies, models
from simulators.billing.http.auth import core_of, refused_credential
from simulators.billing.http.documented import refusals
from simulators.billing.http.once import respond
from simulators.billing.operations import purge
from simulators.billing.problems import Refusal

if TYPE_CHECKING:
    from simulators.billing.worker.loop import Worker

_token_header = APIKeyHeader(
    name="X-Test-Control-Token", auto_error=False, scheme_name="TestControl"
)


def _authorise(request: Request, token: Annotated[str | None, Security(_token_header)]) -> None:
    secret = core_of(request).settings.test_control_token
    if secret is None or token is None:
        raise refused_credential(request, is_presented=False)
    if not hmac.compare_digest(token.encode(), secret.get_secret_value().encode()):
        raise refused_credential(request, is_presented=True)


router = APIRouter(prefix="/test", tags=["test controls"], dependencies=[Depends(_authorise)])
_KEYED = {401: ("unauthenticated",)}


@router.get("/clock", response_model=models.Now, responses=refusals(_KEYED, keyed=False))
def get_clock(request: Request) -> Response:
    """Tell the service's time."""
    return JSONResponse({"now": core_of(request).clock.now()})


@router.post(
    "/clock",
    response_model=models.Now,
    responses=refusals({**_KEYED, 422: ("clock_backwards",)}, keyed=False),
)
def set_clock(request: Request, body: bodies.ClockBody) -> Response:
    """Move the time forward, in every process; from there it goes on at wall pace."""
    clock = core_of(request).clock
    if not isinstance(clock, MovableClock):
        raise TypeError("test controls come with a clock that moves")
    try:
        now = clock.move_to(body.to)
    except ClockBackwardsError:
        raise Refusal(422, "clock_backwards", "The clock only goes forward.") from None
    worker: Worker = request.app.state.worker
    worker.wake()
    return JSONResponse({"now": now})


@router.post("/drain", response_model=models.Drained, responses=refusals(_KEYED, keyed=False))
def drain(request: Request, body: bodies.DrainBody) -> Response:
    """Wait until the inbox and the charges in doubt are settled."""
    worker: Worker = request.app.state.worker
    pending = worker.drain(body.deadline_s)
    return JSONResponse({"settled": pending == 0, "pending": pending})


@router.get(
    "/customers",
    response_model=models.TestCustomers,
    responses=refusals(_KEYED, keyed=False),
)
def list_customers(request: Request, cursor: Annotated[str, Query(max_length=64)] = "") -> Response:
    """List the customers of the test domains, which are those that can be purged."""
    return respond(purge.listing(core_of(request), cursor))


@router.delete(
    "/customers/{customer_id}",
    response_model=models.Purged,
    responses=refusals({409: ("not_a_test_customer",)}),
)
def purge_customer(request: Request, customer_id: str) -> Response:
    """Remove a customer of the test domains with all that is theirs."""
    return respond(purge.purge(core_of(request), customer_id))
