"""Loom's routes, and who may use which."""

import contextlib
import secrets
from dataclasses import dataclass
from sqlite3 import Row
from typing import TYPE_CHECKING, Annotated, Any, Literal

import stripe
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from tests.targets.loom import shapes
from tests.targets.loom.accounts import Accounts
from tests.targets.loom.effects import EVENTS
from tests.targets.loom.refusing import HANDLERS, problem
from tests.targets.loom.store import Store
from tests.targets.loom.tiers import TIERS
from tests.targets.loom.weaving import Weaving
from tests.targets.plumbing import (
    NOT_FOUND,
    UNREADABLE,
    Doubt,
    Porch,
    Refusal,
    Worker,
    digest,
    email_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True)
class Loom:
    """Everything that a request may need."""

    store: Store
    weaving: Weaving
    accounts: Accounts
    worker: Worker
    operator_key: str
    webhook_secret: str


_NOBODY = Refusal(401, "not_signed_in", "A key is needed that is known here.")
_workspace_key = HTTPBearer(auto_error=False, scheme_name="workspaceKey")
_operator_key = APIKeyHeader(name="X-Loom-Operator", auto_error=False, scheme_name="operatorKey")


def _loom(request: Request) -> Loom:
    found: Loom = request.app.state.loom
    return found


LoomHere = Annotated[Loom, Depends(_loom)]


def _operator(loom: LoomHere, given: Annotated[str | None, Depends(_operator_key)]) -> None:
    if not secrets.compare_digest((given or "").encode(), loom.operator_key.encode()):
        raise _NOBODY


def _holder(
    loom: LoomHere,
    workspace: str,
    key: Annotated[HTTPAuthorizationCredentials | None, Depends(_workspace_key)],
) -> Row:
    """Let in whoever has the workspace's own key; another's looks as if it were not there."""
    known = "SELECT * FROM workspaces WHERE key_hash = ? AND NOT closed"
    own = loom.store.one(known, digest(key.credentials)) if key else None
    if not own:
        raise _NOBODY
    if own["id"] != workspace:
        raise NOT_FOUND
    return own


def _reader(
    loom: LoomHere,
    workspace: str,
    key: Annotated[HTTPAuthorizationCredentials | None, Depends(_workspace_key)],
    operator: Annotated[str | None, Depends(_operator_key)],
) -> Row:
    """Let in the workspace's holder or the operator, who also sees what is closed."""
    if operator is None:
        return _holder(loom, workspace, key)
    _operator(loom, operator)
    found = loom.store.one("SELECT * FROM workspaces WHERE id = ?", workspace)
    if not found:
        raise NOT_FOUND
    return found


Held = Annotated[Row, Depends(_holder)]
Read = Annotated[Row, Depends(_reader)]
After = Annotated[int, Query(ge=0, le=2**53)]
Limit = Annotated[int, Query(ge=1, le=50)]
api = APIRouter(responses={"4XX": {"model": shapes.Problem}, 422: {"model": shapes.Problem}})
ONE = "/v1/workspaces/{workspace}"


@api.post("/v1/workspaces", status_code=201, dependencies=[Depends(_operator)], tags=["workspaces"])
def open_workspace(loom: LoomHere, asked: shapes.NewWorkspace) -> shapes.Opened:
    """Open a workspace, one for each e-mail."""
    opened, customer, key = loom.weaving.open(email_of(asked.email), asked.name)
    return shapes.Opened(id=opened, stripe_customer=customer, key=key)


@api.get(ONE, tags=["workspaces"])
def show_workspace(loom: LoomHere, workspace: Read) -> shapes.Workspace:
    """Show a workspace and how it stands."""
    live = loom.weaving.live(workspace["id"])
    standing = "closed" if workspace["closed"] else live["status"] if live else "idle"
    tier = live["tier"] if live else None
    name = workspace["name"]
    return shapes.Workspace(id=workspace["id"], name=name, tier=tier, standing=standing)


@api.delete(ONE, status_code=204, tags=["workspaces"])
def close_workspace(loom: LoomHere, workspace: Held) -> None:
    """Close a workspace for good."""
    loom.weaving.close(workspace)


@api.post(f"{ONE}/cards", status_code=201, tags=["cards"])
def add_card(loom: LoomHere, workspace: Held, asked: shapes.NewCard) -> shapes.Card:
    """Add a card; it pays from now on."""
    return shapes.Card(id=loom.weaving.add_card(workspace, asked.token))


@api.get(f"{ONE}/cards", tags=["cards"])
def list_cards(
    loom: LoomHere, workspace: Read, after: After = 0, limit: Limit = 20
) -> shapes.Cards:
    """List cards, the oldest first."""
    rows, cursor = _page(loom, "cards", workspace, after, limit)
    return shapes.Cards(data=[shapes.Card(id=row["id"]) for row in rows], next=cursor)


@api.delete(f"{ONE}/cards/{{card}}", status_code=204, tags=["cards"])
def drop_card(loom: LoomHere, workspace: Held, card: str) -> None:
    """Forget a card."""
    loom.weaving.drop_card(workspace, card)


@api.post(f"{ONE}/subscription", status_code=201, tags=["subscription"])
def begin_subscription(
    loom: LoomHere, workspace: Held, asked: shapes.NewSubscription
) -> shapes.Subscription:
    """Subscribe; the first month's seats are paid at once, cloth with each month's invoice."""
    return _subscription(loom.weaving.subscribe(workspace, asked.tier, asked.seats))


@api.get(f"{ONE}/subscription", tags=["subscription"])
def show_subscription(loom: LoomHere, workspace: Read) -> shapes.Subscription:
    """Show the newest subscription, alive or ended."""
    return _subscription(loom.weaving.newest(workspace["id"]))


@api.patch(f"{ONE}/subscription", tags=["subscription"])
def change_subscription(
    loom: LoomHere, workspace: Held, asked: shapes.SubscriptionChange
) -> shapes.Subscription:
    """Set tier or seats from now on."""
    return _subscription(loom.weaving.change(workspace, asked.tier, asked.seats))


@api.delete(f"{ONE}/subscription", tags=["subscription"])
def end_subscription(
    loom: LoomHere, workspace: Held, when: Literal["now", "month_end"] = "month_end"
) -> shapes.Subscription:
    """End the subscription; cloth that was not billed yet is billed then."""
    return _subscription(loom.weaving.end(workspace, at_period_end=when == "month_end"))


@api.post(f"{ONE}/subscription/resume", tags=["subscription"])
def resume_subscription(loom: LoomHere, workspace: Held) -> shapes.Subscription:
    """Take a scheduled end back."""
    return _subscription(loom.weaving.resume(workspace))


@api.put(f"{ONE}/cloth/{{reference}}", tags=["cloth"])
def record_cloth(
    loom: LoomHere, workspace: Held, reference: shapes.Reference, asked: shapes.Woven
) -> shapes.Yards:
    """Record cloth that was woven, once for each reference."""
    row = loom.weaving.weave(workspace, reference, asked.yards)
    price = shapes.Money(amount=row["amount"])
    return shapes.Yards(yards=row["yards"], price=price)


@api.get(f"{ONE}/statement", tags=["money"])
def show_statement(loom: LoomHere, workspace: Read) -> shapes.Statement:
    """Show what is owed."""
    live = loom.weaving.live(workspace["id"])
    yard = shapes.Money(amount=TIERS[live["tier"]].yard_minor) if live else None
    owed = shapes.Money(amount=loom.accounts.owed(workspace["id"]))
    return shapes.Statement(owed=owed, yard=yard)


@api.get(f"{ONE}/invoices", tags=["money"])
def list_invoices(
    loom: LoomHere, workspace: Read, after: After = 0, limit: Limit = 20
) -> shapes.Invoices:
    """List invoices."""
    rows, cursor = _page(loom, "invoices", workspace, after, limit)
    return shapes.Invoices(data=[_invoice(row) for row in rows], next=cursor)


@api.get(f"{ONE}/payments", tags=["money"])
def list_payments(
    loom: LoomHere, workspace: Read, after: After = 0, limit: Limit = 20
) -> shapes.Payments:
    """List payments and refunds."""
    rows, cursor = _page(loom, "payments", workspace, after, limit)
    return shapes.Payments(data=[_payment(row) for row in rows], next=cursor)


@api.post(
    "/v1/payments/{payment}/refunds",
    status_code=201,
    dependencies=[Depends(_operator)],
    tags=["money"],
)
def refund_payment(loom: LoomHere, payment: str, asked: shapes.NewRefund) -> shapes.Refund:
    """Give money back, once for each reference."""
    return shapes.Refund(stripe=loom.accounts.refund(payment, asked.amount, asked.reference))


@api.post("/testing/clock", dependencies=[Depends(_operator)], tags=["testing"])
def move_clock(loom: LoomHere, asked: shapes.Moment) -> shapes.Progress:
    """Put Loom's clock forward."""
    loom.store.move_to(asked.to)
    return drain(loom, shapes.Patience())


@api.post("/testing/drain", dependencies=[Depends(_operator)], tags=["testing"])
def drain(loom: LoomHere, asked: shapes.Patience) -> shapes.Progress:
    """Wait until nothing is under way."""
    left = loom.worker.drain(asked.deadline_s)
    return shapes.Progress(settled=not left, pending=left)


@api.post("/hooks/stripe", status_code=204, tags=["hooks"], openapi_extra=shapes.EVENT)
async def take_event(loom: LoomHere, request: Request) -> None:
    """Keep an event of Stripe's and acknowledge it; the worker gives it its effect."""
    body, signature = await request.body(), request.headers.get("Stripe-Signature")
    try:
        event = stripe.Webhook.construct_event(body, signature, loom.webhook_secret)
        kind = EVENTS.get(event.type)
        subject, name = str(event.data.object["id"]) if kind else "", str(event.id)
    except UNREADABLE:
        raise Refusal(400, "signature_invalid", "Stripe did not sign this.") from None
    await run_in_threadpool(_keep_event, loom, name, kind, subject)


def _keep_event(loom: Loom, event: str, kind: str | None, subject: str) -> None:
    if kind == "draft":
        # Stripe waits for the answer before it finalises: what was woven must be on it by then.
        with contextlib.suppress(Doubt, Refusal):
            loom.accounts.bill_with(subject)
    loom.store.keep_event(event, kind, subject)
    loom.worker.ring()


@api.get("/health", tags=["health"])
def health() -> dict[str, str]:
    """Say that Loom serves."""
    return {"status": "weaving"}


def _page(
    loom: Loom, table: str, workspace: Row, after: int, limit: int
) -> tuple[list[Row], str | None]:
    rows = loom.store.all(
        f"SELECT * FROM {table} WHERE workspace = ? AND number > ? ORDER BY number LIMIT ?",  # noqa: S608 - a literal of this module
        *(workspace["id"], after, limit + 1),
    )
    more = len(rows) > limit
    return rows[:limit], str(rows[limit - 1]["number"]) if more else None


def _subscription(row: Row) -> shapes.Subscription:
    keys = ("id", "tier", "seats", "status", "period_end", "ends_at")
    return shapes.Subscription(**{key: row[key] for key in keys})


def _invoice(row: Row) -> shapes.Invoice:
    total = shapes.Money(amount=row["amount"])
    return shapes.Invoice(id=row["id"], total=total, status=row["status"], at=row["at"])


def _payment(row: Row) -> shapes.Payment:
    value, about = shapes.Money(amount=row["amount"]), row["cause"]
    shown: dict[str, Any] = {"status": row["status"], "stripe": row["id"], "at": row["at"]}
    return shapes.Payment(id=row["id"], value=value, about=about, **shown)


def build(loom: Loom) -> FastAPI:
    """Put Loom behind its routes; the worker works as long as the application runs."""

    @contextlib.asynccontextmanager
    async def at_work(_: FastAPI) -> "AsyncIterator[None]":
        loom.worker.start()
        yield
        await run_in_threadpool(loom.worker.leave)

    app = FastAPI(
        title="Loom",
        version="1.0",
        description="Weaving by the yard, billed with the month.",
        lifespan=at_work,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        exception_handlers=HANDLERS,
    )
    app.add_middleware(
        Porch, refusal=lambda: problem(400, "two_lengths", "The request ends in two places.")
    )
    app.include_router(api)
    app.state.loom = loom
    return app
