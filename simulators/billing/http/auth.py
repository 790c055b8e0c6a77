"""Who is asking: a customer, by a key that is stored as a keyed hash, or the operator."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select

from simulators.billing.problems import Rejection, not_found
from simulators.billing.storage.tables import ApiKey, Customer

if TYPE_CHECKING:
    from simulators.billing.core import Core
    from simulators.billing.http.lane import StripeLane

_key_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="ApiKey")
_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer")


@dataclass(frozen=True, slots=True)
class Caller:
    """A customer, or the operator (then `customer_id` is None)."""

    customer_id: str | None

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


def authenticate(
    request: Request,
    header_key: Annotated[str | None, Security(_key_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    """Find out who is asking, or raise 401."""
    key = header_key or (bearer.credentials if bearer else None)
    caller = _caller(core_of(request), key) if key else None
    if caller is None:
        raise unauthenticated()
    request.state.customer_id = caller.customer_id
    return caller


def unauthenticated() -> Rejection:
    """Refuse whoever has no valid key; says nothing of whether the key was ever valid."""
    problem = Rejection(401, "unauthenticated", "A valid API key is needed.")
    problem.headers["WWW-Authenticate"] = "Bearer"
    return problem


def owned_customer(
    request: Request,
    caller: Annotated[Caller, Depends(authenticate)],
    customer_id: Annotated[str, Path(max_length=64, examples=["cust_…"])],
) -> str:
    """Give the customer of the path; to another customer it does not exist."""
    if caller.is_operator:
        with core_of(request).database.read() as session:
            if session.get(Customer, customer_id) is not None:
                return customer_id
    elif caller.customer_id == customer_id:
        return customer_id
    raise not_found()


def own_customer(caller: Annotated[Caller, Depends(authenticate)]) -> str:
    """Give the customer whose key this is; the operator is nobody here."""
    if caller.customer_id is None:
        raise Rejection(403, "customer_key_required", "This is done with a customer's own key.")
    return caller.customer_id


def _caller(core: Core, key: str) -> Caller | None:
    operator = core.settings.operator_key
    if operator and hmac.compare_digest(key.encode(), operator.get_secret_value().encode()):
        return Caller(None)
    digest = core.vault.digest("api key", key)
    live = select(ApiKey.customer_id).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
    with core.database.read() as session:
        customer_id = session.scalar(live)
    return Caller(customer_id) if customer_id else None
