"""Mistakes that break what clients were promised: the document, one answer for a key, one shape."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from simulators.billing import idempotency, paging
from simulators.billing.defects.catalogue import defect
from simulators.billing.http import errors
from simulators.billing.operations import accounts, cards, reports
from simulators.billing.problems import Problem, Rejection, not_found
from simulators.billing.storage.tables import Customer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from simulators.billing.core import Answer, Core
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.paging import Listing, Page, PageQuery
    from simulators.billing.storage.tables import FixAttempt, IdempotencyRecord

_DOCUMENT = (
    "test_every_boundary_is_kept_to",
    "test_random_requests_are_answered_as_documented",
)


@defect("attempts-dated-in-words", "contract", breaks=10, found_by=_DOCUMENT)
def attempts_dated_in_words(overlay: Overlay) -> None:
    """Date fix attempts in words, where the document promises a number of seconds."""

    def attempt(row: FixAttempt) -> dict[str, Any]:
        shown: dict[str, Any] = genuine(row)
        return {**shown, "created_at": datetime.fromtimestamp(row.created_at, UTC).isoformat()}

    genuine = overlay.replace(reports, "_attempt", attempt)


@defect("card-gone-undocumented", "contract", breaks=10, found_by=_DOCUMENT)
def card_gone_undocumented(overlay: Overlay) -> None:
    """Answer 410 for a card that is not there, of which the document says nothing."""

    def remove(core: Core, customer_id: str, payment_method_id: str) -> Answer:
        try:
            answer: Answer = genuine(core, customer_id, payment_method_id)
        except Problem as problem:
            if problem.code != "not_found":
                raise
            raise Rejection(410, "gone", "There is no such card.") from None
        return answer

    genuine = overlay.replace(cards, "remove", remove)


@defect(
    "card-found-once-it-was-listed",
    "contract",
    breaks=10,
    found_by=("test_requests_that_follow_from_answers_are_answered_as_documented",),
)
def card_found_once_it_was_listed(overlay: Overlay) -> None:
    """Look for a card in a cache that only a listing fills, and find none that was just added."""
    cached: set[str] = set()

    def listing(core: Core, customer_id: str) -> Answer:
        answer: Answer = show(core, customer_id)
        cached.update(card["payment_method_id"] for card in answer.body["data"])
        return answer

    def remove(core: Core, customer_id: str, payment_method_id: str) -> Answer:
        if payment_method_id not in cached:
            raise not_found()
        answer: Answer = genuine(core, customer_id, payment_method_id)
        return answer

    show = overlay.replace(cards, "listing", listing)
    genuine = overlay.replace(cards, "remove", remove)


@defect(
    "retry-answered-with-another-status",
    "contract",
    breaks=10,
    found_by=("test_a_retry_with_the_same_key_has_one_effect_and_the_same_answer",),
)
def retry_answered_with_another_status(overlay: Overlay) -> None:
    """Answer a retry with 200 where the first answer was 201, which clients take for another."""

    def replay(core: Core, request: idempotency.Request, record: IdempotencyRecord) -> Answer:
        answer: Answer = genuine(core, request, record)
        return replace(answer, status=200)

    genuine = overlay.replace(idempotency, "_replay", replay)


@defect(
    "unknown-path-answers-a-page",
    "contract",
    breaks=10,
    found_by=("test_refusals_share_one_shape",),
)
def unknown_path_answers_a_page(overlay: Overlay) -> None:
    """Answer a path that there is not with a web page, which no client can parse."""

    async def http(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 404:  # noqa: PLR2004  # HTTP's own
            return HTMLResponse("<html><body>Not Found</body></html>", 404)
        reply: Response = await genuine(request, error)
        return reply

    genuine = overlay.replace(errors, "_http", http)


@defect(
    "plan-set-before-the-card-is-looked-for",
    "contract",
    breaks=4,
    found_by=("test_what_is_refused_without_a_card_changes_nothing",),
)
def plan_set_before_the_card_is_looked_for(overlay: Overlay) -> None:
    """Write the new plan down, then find that there is no card and refuse, with the plan kept."""

    def set_plan(core: Core, customer_id: str, plan: str) -> Answer:
        try:
            answer: Answer = genuine(core, customer_id, plan)
        except Problem as problem:
            if problem.code == "no_billing_info":
                with core.database.write() as session:
                    customer = session.get(Customer, customer_id)
                    if customer is not None:
                        customer.plan = plan
            raise
        return answer

    genuine = overlay.replace(accounts, "set_plan", set_plan)


@defect(
    "cursor-counts-from-the-start",
    "contract",
    breaks=10,
    found_by=("test_nothing_is_lost_or_shown_twice_while_something_is_added",),
)
def cursor_counts_from_the_start(overlay: Overlay) -> None:
    """Take a cursor for how many rows to skip, so that what is added shifts every later page."""

    def page(session: Session, listing: Listing, customer_id: str, query: PageQuery) -> Page:
        if query.filter is not None or query.sort != paging.NEWEST_FIRST:
            found: Page = genuine(session, listing, customer_id, query)
            return found
        skipped = 0 if query.cursor is None else paging._decode(query.cursor, query.sort)  # noqa: SLF001  # a mistake within it
        rows = session.scalars(
            select(listing.table)
            .where(listing.table.customer_id == customer_id)
            .order_by(listing.position.desc())
            .offset(skipped)
            .limit(query.limit + 1)
        ).all()
        if len(rows) <= query.limit:
            return paging.Page(rows, None)
        after = paging._encode(skipped + query.limit, query.sort)  # noqa: SLF001  # the same
        return paging.Page(rows[: query.limit], after)

    genuine = overlay.replace(paging, "page", page)
