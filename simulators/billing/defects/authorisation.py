"""Mistakes about who may do what."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Path, Request
from sqlalchemy import func, select

from simulators.billing.defects.catalogue import defect
from simulators.billing.domain.plans import Catalogue
from simulators.billing.http import auth, billing, bodies, gate
from simulators.billing.http.auth import Caller, authenticate, core_of, own_customer
from simulators.billing.ledger import Posting, append
from simulators.billing.operations import accounts, cards
from simulators.billing.problems import Rejection
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import CreditTransaction, Customer, PaymentMethod

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import Response
    from sqlalchemy.orm import Session
    from starlette.types import Scope

    from simulators.billing.core import Answer, Core
    from simulators.billing.defects.overlay import Overlay

_price: ContextVar[int | None] = ContextVar("price", default=None)
_CACHED_S = 60.0


@defect(
    "another-tenants-invoices",
    "authorisation",
    breaks=6,
    found_by=("test_nothing_of_another_tenant_is_shown",),
)
def another_tenants_invoices(overlay: Overlay) -> None:
    """Show invoices to whoever names their customer, with any valid key."""
    _let_in(overlay, lambda request: request.url.path.endswith("/invoices"))


@defect(
    "another-tenants-subscription-cancelled",
    "authorisation",
    breaks=6,
    found_by=("test_nothing_of_another_tenant_is_changed",),
)
def another_tenants_subscription_cancelled(overlay: Overlay) -> None:
    """Check the owner of a subscription when it is read, and not when it is cancelled."""
    _let_in(overlay, lambda request: request.method == "DELETE")


@defect(
    "existence-of-a-tenant-told",
    "authorisation",
    breaks=6,
    found_by=("test_another_tenants_id_is_answered_like_no_id",),
)
def existence_of_a_tenant_told(overlay: Overlay) -> None:
    """Answer 403 for another tenant's id and 404 for no one's, which tells who is a customer."""

    async def owned(
        request: Request,
        caller: Annotated[Caller, Depends(authenticate)],
        customer_id: Annotated[str, Path(max_length=64)],
    ) -> str:
        if not caller.is_operator and caller.customer_id != customer_id:
            with core_of(request).database.read() as session:
                if session.get(Customer, customer_id) is not None:
                    raise Rejection(403, "forbidden", "This is another customer's.")
        return await auth.owned_customer(request, caller, customer_id)

    overlay.replace_dependency(auth.owned_customer, owned)


@defect(
    "paid-plan-set-by-its-customer",
    "authorisation",
    breaks=4,
    found_by=("test_a_paid_plan_cannot_be_had_without_paying",),
)
def paid_plan_set_by_its_customer(overlay: Overlay) -> None:
    """Set whichever plan a customer asks for, with its prices, and charge nothing for it."""

    def set_plan(core: Core, customer_id: str, plan: str) -> Answer:
        if plan != "pro":
            answer: Answer = genuine(core, customer_id, plan)
            return answer
        with core.database.write() as session:
            customer = locked_customer(session, customer_id)
            if customer is not None:
                customer.plan = plan
        return accounts.show(core, customer_id)

    genuine = overlay.replace(accounts, "set_plan", set_plan)


class _PricedFix(bodies.FixBody):
    """A fix whose every field the body may set."""

    price_minor: int | None = None


@defect(
    "price-taken-from-the-body",
    "authorisation",
    breaks=3,
    found_by=("test_fields_that_are_not_the_customers_to_set_change_nothing",),
)
def price_taken_from_the_body(overlay: Overlay) -> None:
    """Copy every field of the body into the fix, its price too."""

    async def track_fix(
        request: Request, customer_id: Annotated[str, Depends(own_customer)], body: _PricedFix
    ) -> Response:
        _price.set(body.price_minor)
        return await billing.track_fix(request, customer_id, body)

    def price(self: Catalogue, plan: str) -> int:
        told = _price.get()
        found: int = genuine(self, plan) if told is None else told
        return found

    genuine = overlay.replace(Catalogue, "fix_price_minor", price)
    overlay.replace_route("POST", "/api/v1/billing/track_fix", track_fix)


@defect(
    "card-bonus-farmed",
    "authorisation",
    breaks=2,
    found_by=("grants_have_one_cause", "test_removing_and_adding_a_card_earns_nothing"),
)
def card_bonus_farmed(overlay: Overlay) -> None:
    """Grant the first card's credits whenever there is no other card, so removing one earns."""

    def grant(core: Core, session: Session, customer: Customer, now: int) -> int:
        mine = PaymentMethod.customer_id == customer.id, PaymentMethod.removed_at.is_(None)
        source = CreditTransaction.source == "trial_billing_added"
        own = CreditTransaction.customer_id == customer.id
        if (session.scalar(select(func.count()).where(*mine)) or 0) > 1:
            return 0
        units = core.catalogue.first_card_credits
        number = session.scalar(select(func.count()).where(own, source))
        append(
            session, customer.id, Posting(units, "trial_billing_added", f"card:{number}"), at=now
        )
        return units

    overlay.replace(cards, "_grant_once", grant)


@defect(
    "sign-up-bonus-farmed",
    "authorisation",
    breaks=2,
    found_by=("test_closing_an_account_and_coming_back_earns_nothing",),
)
def sign_up_bonus_farmed(overlay: Overlay) -> None:
    """Remember the sign-up credits by account, so that closing it and coming back earns again."""

    def belongings(core: Core, session: Session, customer: Customer, key: str, digest: str) -> None:
        genuine(core, session, customer, key, f"{digest}:{customer.id}")

    genuine = overlay.replace(accounts, "_first_belongings", belongings)


@defect(
    "operator-route-without-a-check",
    "authorisation",
    breaks=2,
    found_by=("test_a_customer_cannot_do_what_only_the_operator_may",),
)
def operator_route_without_a_check(overlay: Overlay) -> None:
    """Let every valid key refund and adjust, since nobody asked who is calling."""

    def anybody(_caller: Annotated[Caller, Depends(authenticate)]) -> None:
        """Let them pass."""

    overlay.replace_dependency(auth.operator, anybody)


@defect(
    "key-in-the-query-accepted",
    "authorisation",
    breaks=7,
    found_by=("test_a_key_in_the_query_opens_nothing",),
)
def key_in_the_query_accepted(overlay: Overlay) -> None:
    """Take the API key from the address as well, where every log and history keeps it."""

    def presented(scope: Scope) -> str | None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        found: str | None = genuine(scope)
        return found or next(iter(query.get("api_key", ())), None)

    genuine = overlay.replace(gate, "_presented", presented)


@defect(
    "revoked-key-still-cached",
    "authorisation",
    breaks=6,
    found_by=("test_a_revoked_key_opens_nothing_from_then_on",),
)
def revoked_key_still_cached(overlay: Overlay) -> None:
    """Remember for a minute whose a key is, and let a revoked one in for as long."""
    known: dict[str, tuple[float, Caller]] = {}

    def identify(core: Core, key: str, method: str, path: str) -> Caller | None:
        at, kept = known.get(key, (0.0, None))
        if kept is not None and time.monotonic() - at < _CACHED_S:
            return kept
        caller: Caller | None = genuine(core, key, method, path)
        if caller is not None and caller.rotated_by is None:
            known[key] = time.monotonic(), replace(caller)
        return caller

    genuine = overlay.replace(auth, "identify", identify)


def _let_in(overlay: Overlay, is_unchecked: Callable[[Request], bool]) -> None:
    """Have nobody ask whose customer it is in some requests."""

    async def owned(
        request: Request,
        caller: Annotated[Caller, Depends(authenticate)],
        customer_id: Annotated[str, Path(max_length=64)],
    ) -> str:
        if is_unchecked(request):
            with core_of(request).database.read() as session:
                if session.get(Customer, customer_id) is not None:
                    return customer_id
        return await auth.owned_customer(request, caller, customer_id)

    overlay.replace_dependency(auth.owned_customer, owned)
