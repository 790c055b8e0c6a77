"""Who is asking: a customer, by a key that is stored as a keyed hash, or the operator.

The gate has looked the key up (in the database, each time: a revoked key opens nothing from then
on, in every process); routes ask here for whom they need. What asks here is async, so that a thread
is taken only by what waits for the database.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from simulators.billing.http.address import client_address
from simulators.billing.operations.keys import ROTATE_PATH, may_still_replay
from simulators.billing.problems import Rejection, not_found
from simulators.billing.storage.tables import ApiKey, Customer

if TYPE_CHECKING:
    from simulators.billing.core import Core
    from simulators.billing.http.lane import StripeLane
    from simulators.billing.limits import Limiter

_key_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="ApiKey")
_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer")


@dataclass(frozen=True, slots=True)
class Caller:
    """A customer by one of their keys, or the operator (then `customer_id` is None).

    `rotated_by` is set for a key that was rotated out: the scope of the one answer that it may
    still have again, and nothing else.
    """

    customer_id: str | None
    key_id: str = ""
    slot: int = 1
    rotated_by: str | None = None

    @property
    def is_operator(self) -> bool:
        """Tell whether this is the operator."""
        return self.customer_id is None


def core_of(request: Request) -> Core:
    """Give the service behind this application."""
    core: Core = request.app.state.core
    return core


def lane_of(request: Request) -> StripeLane:
    """Give the lane of requests that wait for Stripe."""
    lane: StripeLane = request.app.state.lane
    return lane


def limiter_of(request: Request) -> Limiter:
    """Give the limits."""
    limiter: Limiter = request.app.state.limiter
    return limiter


def address_of(request: Request) -> str:
    """Give the client's address, as the limits count it."""
    return client_address(request.scope, core_of(request).settings.proxy_networks)


async def rotating(
    request: Request,
    _key: Annotated[str | None, Security(_key_header)],
    _token: Annotated[object, Security(_bearer)],
) -> Caller:
    """Give the caller, who may be a key that was rotated out a moment ago; or raise 401."""
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        is_presented = hasattr(request.state, "has_presented")
        raise await run_in_threadpool(refused_credential, request, is_presented=is_presented)
    return caller


async def authenticate(request: Request, caller: Annotated[Caller, Depends(rotating)]) -> Caller:
    """Give the caller, or raise 401."""
    if caller.rotated_by is not None:
        raise await run_in_threadpool(refused_credential, request, is_presented=True)
    return caller


def refused_credential(request: Request, *, is_presented: bool) -> Rejection:
    """Refuse a caller: a 401, or a 429 once too many credentials from one address were wrong.

    Sending none is no try at guessing one, and does not count.
    """
    problem = unauthenticated()
    if is_presented:
        allowance = limiter_of(request).failed_authentication(address_of(request))
        if not allowance.has_passed:
            return allowance.refusal()
        problem.headers |= allowance.headers()
    return problem


def unauthenticated() -> Rejection:
    """Refuse whoever has no valid key; says nothing of whether the key was ever valid."""
    problem = Rejection(401, "unauthenticated", "A valid API key is needed.")
    problem.headers["WWW-Authenticate"] = "Bearer"
    return problem


async def owned_customer(
    request: Request,
    caller: Annotated[Caller, Depends(authenticate)],
    customer_id: Annotated[str, Path(max_length=64, examples=["cust_…"])],
) -> str:
    """Give the customer of the path; to another customer it does not exist."""
    if caller.is_operator:
        if await run_in_threadpool(_exists, core_of(request), customer_id):
            return customer_id
    elif caller.customer_id == customer_id:
        return customer_id
    raise not_found()


def _exists(core: Core, customer_id: str) -> bool:
    with core.database.read() as session:
        return session.get(Customer, customer_id) is not None


async def own_customer(caller: Annotated[Caller, Depends(authenticate)]) -> str:
    """Give the customer whose key this is; the operator is nobody here."""
    if caller.customer_id is None:
        raise Rejection(403, "customer_key_required", "This is done with a customer's own key.")
    return caller.customer_id


async def operator(caller: Annotated[Caller, Depends(authenticate)]) -> None:
    """Let only the operator pass; a customer learns nothing of what is there."""
    if not caller.is_operator:
        raise Rejection(403, "operator_key_required", "This is done with the operator's key.")


def identify(core: Core, key: str, method: str, path: str) -> Caller | None:
    """Find whose key this is, asking the database each time; None if it opens nothing here."""
    operator_key = core.settings.operator_key
    if operator_key and hmac.compare_digest(key.encode(), operator_key.get_secret_value().encode()):
        return Caller(None)
    digest = core.vault.digest("api key", key)
    with core.database.read() as session:
        row = session.scalar(select(ApiKey).where(ApiKey.digest == digest))
    if row is None:
        return None
    if row.revoked_at is None:
        return Caller(row.customer_id, row.id, row.slot)
    is_rotation = (method, path) == ("POST", ROTATE_PATH)
    if is_rotation and may_still_replay(row, core.clock.now()):
        return Caller(row.customer_id, row.id, row.slot, row.rotated_by)
    return None
