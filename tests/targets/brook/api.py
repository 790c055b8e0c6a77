"""What each request does: Brook's routes."""

from __future__ import annotations

import re
import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import stripe
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.targets.brook.books import NEARLY_DRY, PLANS, at_hand, drops_of, plan_of, post
from tests.targets.brook.desk import Brook, Visit, desk, page, problem
from tests.targets.plumbing import UNREADABLE, Porch, Refusal, email_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from sqlite3 import Row

    from starlette.requests import Request

EVENTS = {
    "invoice.paid": "invoice",
    "invoice.payment_succeeded": "invoice",
    "customer.subscription.created": "subscription",
    "customer.subscription.updated": "subscription",
    "customer.subscription.deleted": "subscription",
    "refund.created": "refund",
    "refund.updated": "refund",
    "refund.failed": "refund",
    "charge.dispute.created": "dispute",
    "charge.dispute.closed": "dispute",
}


def money(amount_minor: int) -> float:
    """Write an amount as Brook does, in dollars."""
    return amount_minor / 100


def when(seconds: int | None) -> str | None:
    """Write a moment as Brook does."""
    moment = None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    return moment and moment.replace("+00:00", "Z")


def sign_up(visit: Visit) -> Response:
    """Make a customer; the key is shown this once."""
    email = email_of(visit.text("email"))
    if "@" not in email:
        raise Refusal(422, "invalid", "The field email is not valid.")
    return JSONResponse(visit.brook.counter.sign_up(email), 201)


def show_customer(visit: Visit) -> Response:
    """Show a customer's plan."""
    customer = visit.customer()
    with visit.brook.books.transaction() as db:
        plan = plan_of(db, customer["id"])
        thirsty = "SELECT 1 FROM subscriptions WHERE customer = ? AND state = 'thirsty'"
        state = "thirsty" if db.execute(thirsty, (customer["id"],)).fetchone() else "well"
    return JSONResponse({"id": customer["id"], "plan": plan, "state": state})


def close(visit: Visit) -> Response:
    """Close an account."""
    visit.brook.counter.close(visit.customer())
    return Response(status_code=204)


def add_source(visit: Visit) -> Response:
    """Keep a payment method, with consent."""
    customer, token = visit.customer(), visit.text("token")
    if not visit.yes("agreed"):
        raise Refusal(422, "not-agreed", "Billing has to be agreed to.")
    if not token.startswith("pm_"):
        raise Refusal(422, "invalid", "The field token is not valid.")
    return JSONResponse({"id": visit.brook.counter.add_source(customer, token)}, 201)


def drop_source(visit: Visit) -> Response:
    """Forget a payment method."""
    visit.brook.counter.drop_source(visit.customer(), visit.path["source"])
    return Response(status_code=204)


def begin(visit: Visit) -> Response:
    """Begin a subscription, a resource of its own."""
    customer, seats = visit.customer(), visit.whole("seats", 1, 1000, default=1)
    if visit.text("plan") != "river":
        raise Refusal(422, "invalid", "The field plan is not valid.")
    return JSONResponse(_subscription(visit.brook.counter.flow(customer, seats)), 201)


def show_subscription(visit: Visit) -> Response:
    """Show a subscription."""
    find = visit.brook.counter.found
    if visit.own:
        return JSONResponse(_subscription(find(visit.own, visit.path["subscription"])))
    owner = "SELECT customer FROM subscriptions WHERE id = ?"
    row = visit.brook.books.one(owner, visit.path["subscription"])
    customer = row and visit.brook.books.customer("id", row["customer"])
    if not customer:
        raise Refusal(404, "not_found", "There is nothing of that id.")
    return JSONResponse(_subscription(find(customer, visit.path["subscription"])))


def change(visit: Visit) -> Response:
    """Set the seats of a subscription."""
    seats = visit.whole("seats", 1, 1000)
    changed = visit.brook.counter.change(visit.customer(), visit.path["subscription"], seats)
    return JSONResponse(_subscription(changed))


def stop(visit: Visit) -> Response:
    """Stop a subscription."""
    at_once = not visit.yes("with_the_month")
    name = visit.path["subscription"]
    return JSONResponse(
        _subscription(visit.brook.counter.stop(visit.customer(), name, at_once=at_once))
    )


def resume(visit: Visit) -> Response:
    """Let a subscription flow on."""
    resumed = visit.brook.counter.resume(visit.customer(), visit.path["subscription"])
    return JSONResponse(_subscription(resumed))


def use(visit: Visit) -> Response:
    """Use drops, once for each id."""
    customer = visit.customer()
    drops = visit.whole("drops", 1, 1000, default=1)
    usage_id = visit.text("id")
    # Sixteen figures in a row are nobody's usage: what might be a card's number is not kept.
    if not re.fullmatch(r"[\w.:-]+", usage_id) or re.search(r"(\d[.:_-]?){14}", usage_id):
        raise Refusal(422, "invalid", "The field id is not valid.")
    used = visit.brook.counter.use(customer, usage_id, drops)
    with visit.brook.books.transaction() as db:
        left = drops_of(db, customer["id"])
    return JSONResponse({"charged": money(used["charged"]), "left": left}, 201)


def show_balance(visit: Visit) -> Response:
    """Show the drops that are left, the price of one beyond them, and a hint."""
    customer = visit.customer()["id"]
    with visit.brook.books.transaction() as db:
        left, plan = drops_of(db, customer), plan_of(db, customer)
        card = db.execute("SELECT 1 FROM sources WHERE customer = ?", (customer,)).fetchone()
    hint = "nearly_dry" if left <= NEARLY_DRY and (left or plan != "spring") else None
    hint = "dry_without_card" if not left and not card else hint
    price = money(PLANS[plan].drop_minor)
    return JSONResponse({"drops": left, "next_drop": price, "hint": hint})


def correct(visit: Visit) -> Response:
    """Give drops, or take them, for a reason that the operator names."""
    customer, drops = visit.customer()["id"], visit.whole("drops", -10_000, 10_000)
    visit.text("reason")  # a reason is due; what people write of each other is not shown again
    with visit.brook.books.transaction() as db:
        if not drops or at_hand(db, customer) + drops < 0:
            raise Refusal(422, "invalid", "The field drops is not valid.")
        cause = f"correction-{secrets.token_hex(8)}"
        post(db, customer, drops, "correction", cause, at=visit.brook.books.now())
    return JSONResponse({"entry": cause}, 201)


def list_sources(visit: Visit) -> Response:
    """List payment methods."""
    return page(visit, "sources", lambda row: {"id": row["id"]})


def list_entries(visit: Visit) -> Response:
    """List entries, the oldest first."""
    keys = ("drops", "left", "source", "cause")
    return page(
        visit, "entries", lambda row: {key: row[key] for key in keys} | {"at": when(row["at"])}
    )


def list_payments(visit: Visit) -> Response:
    """List payments and what was given back."""
    return page(visit, "payments", _payment)


def refund(visit: Visit) -> Response:
    """Give a payment back; a key says which refund it is."""
    if not visit.key:
        raise Refusal(400, "key-missing", "A refund needs an Idempotency-Key.")
    given = visit.brook.till.refund(visit.text("payment"), visit.minor("amount"), visit.key)
    return JSONResponse({"id": given}, 201)


def move_clock(visit: Visit) -> Response:
    """Put Brook's clock forward."""
    visit.brook.books.move_to(visit.whole("to", 0, 2**40))
    return _drained(visit, 5.0)


def drain(visit: Visit) -> Response:
    """Wait until nothing is under way."""
    return _drained(visit, min(60.0, float(visit.fields.get("deadline_s", 5.0))))


def _drained(visit: Visit, deadline_s: float) -> Response:
    left = visit.brook.worker.drain(deadline_s)
    return JSONResponse({"settled": not left, "pending": left})


async def take_event(request: Request) -> Response:
    """Keep an event of Stripe's and acknowledge it; the worker gives it its effect."""
    brook: Brook = request.app.state.brook
    body, signature = await request.body(), request.headers.get("Stripe-Signature")
    try:
        event = stripe.Webhook.construct_event(body, signature, brook.webhook_secret)
        kind = EVENTS.get(event.type)
        subject, name = str(event.data.object["id"]) if kind else "", str(event.id)
    except UNREADABLE:
        return problem(Refusal(400, "unsigned", "Stripe did not sign this."))
    await run_in_threadpool(brook.books.keep_event, name, kind, subject)
    brook.worker.ring()
    return JSONResponse({"kept": name})


def _subscription(row: Row) -> dict[str, Any]:
    ended, ends_at = row["state"] == "dried_up", when(row["ends_at"])
    ends = {"ends_at": None if ended else ends_at, "ended_at": ends_at if ended else None}
    times = {"runs_until": when(row["runs_until"]), **ends}
    return {"id": row["id"], "plan": "river", "seats": row["seats"], "state": row["state"], **times}


def _payment(row: Row) -> dict[str, Any]:
    shown = {"id": row["id"], "amount": money(row["amount"]), "at": when(row["at"])}
    return {**shown, "state": row["state"], "for": row["cause"]}


async def _well(_: Request) -> Response:
    return JSONResponse({"status": "well"})


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = error.detail.lower().replace(" ", "-")
    return problem(Refusal(error.status_code, code, error.detail))


def build(brook: Brook) -> Starlette:
    """Put Brook behind its routes; the worker works as long as the application runs."""

    @asynccontextmanager
    async def at_work(_: Starlette) -> AsyncIterator[None]:
        brook.worker.start()
        yield
        await run_in_threadpool(brook.worker.leave)

    app = Starlette(
        routes=_ROUTES,
        exception_handlers={HTTPException: _http_error},
        lifespan=at_work,
        max_body_size=1_000_000,
    )
    app.add_middleware(
        Porch, refusal=lambda: problem(Refusal(400, "two-lengths", "It ends in two places."))
    )
    app.state.brook = brook
    return app


_ROUTES = [
    Route("/well", _well),
    Route("/webhooks/stripe", take_event, methods=["POST"]),
    Route("/customers", desk(sign_up, role="operator"), methods=["POST"]),
    Route("/customers/{customer}", desk(show_customer, role="reader"), methods=["GET"]),
    Route("/customers/{customer}", desk(close), methods=["DELETE"]),
    Route("/sources", desk(add_source), methods=["POST"]),
    Route("/sources", desk(list_sources, role="reader"), methods=["GET"]),
    Route("/sources/{source}", desk(drop_source), methods=["DELETE"]),
    Route("/subscriptions", desk(begin), methods=["POST"]),
    Route("/subscriptions/{subscription}", desk(show_subscription, role="reader")),
    Route("/subscriptions/{subscription}", desk(change), methods=["PATCH"]),
    Route("/subscriptions/{subscription}/stop", desk(stop), methods=["POST"]),
    Route("/subscriptions/{subscription}/resume", desk(resume), methods=["POST"]),
    Route("/usages", desk(use), methods=["POST"]),
    Route("/balances/{customer}", desk(show_balance, role="reader"), methods=["GET"]),
    Route("/entries", desk(list_entries, role="reader"), methods=["GET"]),
    Route("/payments", desk(list_payments, role="reader"), methods=["GET"]),
    Route("/corrections", desk(correct, role="operator"), methods=["POST"]),
    Route("/refunds", desk(refund, role="operator"), methods=["POST"]),
    Route("/test/clock", desk(move_clock, role="operator"), methods=["POST"]),
    Route("/test/drain", desk(drain, role="operator"), methods=["POST"]),
]
