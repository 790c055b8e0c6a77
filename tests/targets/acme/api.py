"""What each request does: Acme's routes, with what they change and what they show."""

from __future__ import annotations

import secrets
import time
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import stripe
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.targets.acme import tariffs
from tests.targets.acme.books import assign, at_hand, balance, post, tariff
from tests.targets.acme.desk import Office, Visit, desk, refuse
from tests.targets.plumbing import NOT_FOUND, UNREADABLE, Porch, Refusal, digest, email_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from sqlite3 import Row

    from starlette.requests import Request
    from starlette.responses import Response

_SETTLES_AFTER_S = 0.03
_EVENTS = {
    "invoice.paid": "invoice",
    "invoice.payment_succeeded": "invoice",
    "customer.subscription.created": "contract",
    "customer.subscription.updated": "contract",
    "customer.subscription.deleted": "contract",
}


def open_account(visit: Visit) -> JSONResponse:
    """Open an account with its welcome units; the access token is shown this once."""
    books, account = visit.office.books, str(uuid.uuid4())
    email, name = (
        email_of(visit.text("account[contact][email]")),
        visit.text("account[contact][name]"),
    )
    if "@" not in email:
        raise Refusal(422, "account[contact][email]_invalid")
    taken = "SELECT 1 FROM accounts WHERE email = ?"
    if books.one(taken, email):
        raise Refusal(409, "email_in_use")
    customer = visit.office.cashier.open_customer(account, email, name)
    token = f"acct_{secrets.token_urlsafe(32)}"
    with books.transaction() as db:
        if db.execute(taken, (email,)).fetchone():
            raise Refusal(409, "email_in_use")
        columns = "(id, email, name, stripe_customer, token_hash)"
        values = (account, email, name, customer, digest(token))
        db.execute(f"INSERT INTO accounts {columns} VALUES (?, ?, ?, ?, ?)", values)  # noqa: S608 - no input in it
        post(db, account, tariffs.WELCOME_UNITS, "welcome", account)
    result = {"access_token": token, "units": tariffs.WELCOME_UNITS, "stripe": customer}
    return _created(f"/v2/accounts/{account}", {"result": result})


def show_account(visit: Visit) -> JSONResponse:
    """Show the tariff that holds."""
    with visit.office.books.transaction() as db:
        return _data(tariff=tariff(db, visit.account_id), state="open")


def add_card(visit: Visit) -> JSONResponse:
    """Keep a card by its token, never by its number; the first brings units."""
    token = visit.text("card[token]")
    if visit.fields.get("card[terms_accepted]") != "true":
        raise Refusal(422, "terms_not_accepted")
    if not token.startswith("pm_"):
        raise Refusal(422, "card_token_invalid")
    assert visit.account is not None
    card = visit.office.cashier.keep_card(visit.account["stripe_customer"], token)
    with visit.office.books.transaction() as db:
        db.execute("INSERT INTO cards (id, account) VALUES (?, ?)", (card, visit.account_id))
        post(db, visit.account_id, tariffs.CARD_BONUS_UNITS, "card_bonus", "first card")
    return _created(f"/v2/accounts/{visit.account_id}/cards/{card}", {"result": {}})


def list_cards(visit: Visit) -> JSONResponse:
    """List the cards, the newest first."""
    return _items(visit, "cards", lambda card: {"card": card["id"]}, *_by_offset(visit))


def choose_tariff(visit: Visit) -> JSONResponse:
    """Move to the metered tariff; business takes a contract."""
    if visit.text("tariff") != "metered":
        raise Refusal(422, "tariff_invalid")
    with visit.office.books.transaction() as db:
        if tariff(db, visit.account_id) == "business":
            raise Refusal(409, "contract_running")
        if not db.execute("SELECT 1 FROM cards WHERE account = ?", (visit.account_id,)).fetchone():
            raise Refusal(402, "card_missing")
        db.execute("UPDATE accounts SET tariff = 'metered' WHERE id = ?", (visit.account_id,))
    return _data(tariff="metered")


def begin_contract(visit: Visit) -> JSONResponse:
    """Begin business; its units come when Stripe's webhook tells that the month is paid."""
    if visit.text("contract[tariff]") != "business":
        raise Refusal(422, "contract[tariff]_invalid")
    assert visit.account is not None
    seats = visit.whole("contract[seats]", 1, 1000, default=1)
    contract = visit.office.contracts.begin(visit.account, seats)
    location = f"/v2/accounts/{visit.account_id}/contracts/{contract['id']}"
    return _created(location, {"result": _contract(contract)})


def show_contract(visit: Visit) -> JSONResponse:
    """Show a contract."""
    found = visit.office.books.one(
        "SELECT * FROM contracts WHERE account = ? AND id = ?",
        *(visit.account_id, visit.path["contract"]),
    )
    if not found:
        raise NOT_FOUND
    return _data(**_contract(found))


def end_contract(visit: Visit) -> JSONResponse:
    """End a contract, now or when the paid month is over; the units stay."""
    at_term_end = visit.fields.get("termination[at_term_end]") == "true"
    ended = visit.office.contracts.end(
        visit.account_id, visit.path["contract"], at_term_end=at_term_end
    )
    return _data(**_contract(ended))


def send_parcel(visit: Visit) -> JSONResponse:
    """Take a parcel on, once for each reference; a rejected one may be sent again."""
    reference, pieces = visit.text("parcel[reference]"), visit.whole("parcel[pieces]", 1, 1000, 1)
    with visit.office.books.transaction() as db:
        find = "SELECT * FROM parcels WHERE account = ? AND reference = ?"
        known = db.execute(find, (visit.account_id, reference)).fetchone()
        if known and known["pieces"] != pieces:
            raise Refusal(409, "reference_in_use")
        job = known["id"] if known else str(uuid.uuid4())
        if not known or known["state"] == "rejected":
            db.execute(
                "INSERT INTO parcels (id, account, reference, pieces) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = 'pending', reason = NULL",
                (job, visit.account_id, reference, pieces),
            )
            assign(db, "parcel", job, time.time() + _SETTLES_AFTER_S)
    visit.office.clerk.ring()
    return JSONResponse({"result": {"job": job, "reference": reference}}, 202)


def show_parcel(visit: Visit) -> JSONResponse:
    """Show what became of a parcel: pending, covered by units, billed, or rejected for a reason."""
    with visit.office.books.transaction() as db:
        find = "SELECT * FROM parcels WHERE account = ? AND reference = ?"
        parcel = db.execute(find, (visit.account_id, visit.path["reference"])).fetchone()
        if not parcel:
            raise NOT_FOUND
        charged, units = tariffs.money(parcel["charged_minor"]), balance(db, visit.account_id)
    return _data(state=parcel["state"], reason=parcel["reason"], charged=charged, units_left=units)


def show_wallet(visit: Visit) -> JSONResponse:
    """Show the units at hand, the price of a piece beyond them, and what the holder should know."""
    with visit.office.books.transaction() as db:
        units = balance(db, visit.account_id)
        holds = tariff(db, visit.account_id)
        card = db.execute("SELECT 1 FROM cards WHERE account = ?", (visit.account_id,)).fetchone()
    notice = "running_low" if units <= tariffs.RUNNING_LOW_UNITS else None
    if not units and not card:
        notice = "empty_without_card"
    elif not units and holds == "metered":
        notice = None  # who pays by the piece needs no units
    next_piece = tariffs.money(tariffs.PIECE_MINOR[holds])
    return _data(units=units, next_piece=next_piece, notice=notice)


def list_entries(visit: Visit) -> JSONResponse:
    """List the wallet's entries by page number, the oldest first unless asked otherwise."""
    size = visit.whole("per_page", 1, 100, 20)
    start = (visit.whole("page", 1, 100_000, 1) - 1) * size
    keys = ("number", "units", "balance", "source", "cause", "at")
    return _items(visit, "entries", lambda entry: {key: entry[key] for key in keys}, start, size)


def list_payments(visit: Visit) -> JSONResponse:
    """List money taken by offset, the oldest first unless asked otherwise."""
    return _items(visit, "payments", _payment, *_by_offset(visit))


def adjust(visit: Visit) -> JSONResponse:
    """Give units, or take them, for a reason that the operator names."""
    units, reason = (
        visit.whole("adjustment[units]", -10_000, 10_000),
        visit.text("adjustment[reason]"),
    )
    with visit.office.books.transaction() as db:
        if units == 0 or at_hand(db, visit.account_id) + units < 0:
            raise Refusal(422, "adjustment[units]_invalid")
        cause = f"{reason} ({uuid.uuid4()})"
        post(db, visit.account_id, units, "adjust", cause)
    return JSONResponse({"result": {"entry": cause}}, 201)


async def hook(request: Request) -> Response:
    """Take an event from Stripe, keep it, and acknowledge it; the clerk gives it its effect."""
    office: Office = request.app.state.office
    body, signature = await request.body(), request.headers.get("Stripe-Signature")
    try:
        event = stripe.Webhook.construct_event(body, signature, office.webhook_secret)
        kind = _EVENTS.get(event.type)
        subject = str(event.data.object["id"]) if kind else ""
        name = str(event.id)
    except UNREADABLE:
        return refuse(403, "signature_invalid")
    await run_in_threadpool(_keep_event, office, name, kind, subject)
    return JSONResponse({"result": {"kept": name}}, 202)


def _keep_event(office: Office, event: str, kind: str | None, subject: str) -> None:
    office.books.keep_event(event, kind, subject)
    office.clerk.ring()


def _data(**data: object) -> JSONResponse:
    return JSONResponse({"data": data})


def _created(location: str, body: dict[str, Any]) -> JSONResponse:
    return JSONResponse(body, 201, {"Location": location})


def _contract(row: Row) -> dict[str, object]:
    ends_at = row["ends_at"] and datetime.fromtimestamp(row["ends_at"], UTC).isoformat()
    return {"tariff": "business", "seats": row["seats"], "state": row["state"], "ends_at": ends_at}


def _payment(row: Row) -> dict[str, object]:
    amount = tariffs.money(row["amount_minor"])
    shown = {"charge": row["charge"], "for": row["cause"], "at": row["at"]}
    return {**shown, "amount": amount, "state": "collected"}


def _by_offset(visit: Visit) -> tuple[int, int]:
    return visit.whole("offset", 0, 10_000_000, 0), visit.whole("limit", 1, 100, 20)


def _items(
    visit: Visit, table: str, show: Callable[[Row], dict[str, object]], start: int, size: int
) -> JSONResponse:
    order = {"oldest": "ASC", "newest": "DESC"}.get(visit.text("order", "oldest"))
    if not order:
        raise Refusal(422, "order_invalid")
    mine = f"FROM {table} WHERE account = ?"
    part = f"SELECT * {mine} ORDER BY rowid {order} LIMIT ? OFFSET ?"
    with visit.office.books.transaction() as db:
        rows = db.execute(part, (visit.account_id, size, start)).fetchall()
        total = db.execute(f"SELECT count(*) {mine}", (visit.account_id,)).fetchone()[0]
    return JSONResponse({"items": [show(row) for row in rows], "total": total})


async def _status(_: Request) -> Response:
    return JSONResponse({"status": "serving"})


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refuse(error.status_code, error.detail.lower().replace(" ", "_"))


def build(office: Office) -> Starlette:
    """Put the office behind its routes; the clerk works as long as the application runs."""

    @asynccontextmanager
    async def clerk_at_work(_: Starlette) -> AsyncIterator[None]:
        office.clerk.start()
        yield
        await run_in_threadpool(office.clerk.leave)

    app = Starlette(
        routes=_ROUTES,
        exception_handlers={HTTPException: _http_error},
        lifespan=clerk_at_work,
        middleware=[Middleware(Porch, refusal=lambda: refuse(400, "two_lengths"))],
        max_body_size=1_000_000,
    )
    app.state.office = office
    return app


_ACCOUNT = "/v2/accounts/{account}"
_ROUTES = [
    Route("/status", _status),
    Route("/hooks/payments", hook, methods=["POST"]),
    Route("/v2/accounts", desk(open_account, operator=True), methods=["POST"]),
    Route(_ACCOUNT, desk(show_account), methods=["GET"]),
    Route(f"{_ACCOUNT}/adjustments", desk(adjust, operator=True), methods=["POST"]),
    Route(f"{_ACCOUNT}/cards", desk(add_card), methods=["POST"]),
    Route(f"{_ACCOUNT}/cards", desk(list_cards), methods=["GET"]),
    Route(f"{_ACCOUNT}/tariff", desk(choose_tariff), methods=["PUT"]),
    Route(f"{_ACCOUNT}/contracts", desk(begin_contract), methods=["POST"]),
    Route(f"{_ACCOUNT}/contracts/{{contract}}", desk(show_contract), methods=["GET"]),
    Route(f"{_ACCOUNT}/contracts/{{contract}}/termination", desk(end_contract), methods=["POST"]),
    Route(f"{_ACCOUNT}/parcels", desk(send_parcel), methods=["POST"]),
    Route(f"{_ACCOUNT}/parcels/{{reference:path}}", desk(show_parcel), methods=["GET"]),
    Route(f"{_ACCOUNT}/wallet", desk(show_wallet), methods=["GET"]),
    Route(f"{_ACCOUNT}/wallet/entries", desk(list_entries), methods=["GET"]),
    Route(f"{_ACCOUNT}/payments", desk(list_payments), methods=["GET"]),
]
