"""What goes over Loom's wire: requests that take nothing unexpected, and replies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tests.targets.loom.tiers import CURRENCY
from tests.targets.plumbing import without_card

Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(without_card)]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]
Reference = Annotated[str, Field(pattern=r"^[\w.:-]{1,200}$"), AfterValidator(without_card)]


def _whole(value: object) -> object:
    """Take 2.0 for 2, which JSON Schema does not tell apart either."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)  # after the bounds, else the document loses them
Seats = Annotated[int, Field(ge=1, le=1000), WHOLE]
TierName = Literal["studio", "mill"]
Status = Literal["weaving", "owing", "halted", "ended"]


_WORD = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\w.]+$"}
_HAPPENED = {
    "type": "object",
    "required": ["id", "object", "type", "data"],
    "properties": {
        "id": _WORD,
        "object": {"const": "event"},
        "type": _WORD,
        "data": {
            "type": "object",
            "required": ["object"],
            "properties": {
                "object": {"type": "object", "required": ["id"], "properties": {"id": _WORD}}
            },
        },
    },
}
# What a document says of Stripe's events, which are verified as they came and only then read.
EVENT = {
    "parameters": [
        {"name": "Stripe-Signature", "in": "header", "required": True, "schema": {"type": "string"}}
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": _HAPPENED}}},
}


class Request(BaseModel):
    """A request's body: unknown fields are refused, and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NewWorkspace(Request):
    """Who asks for a workspace."""

    email: Email
    name: Name


class NewCard(Request):
    """A payment method of Stripe's, by its token: card numbers are never taken."""

    token: Annotated[str, Field(pattern=r"^pm_\w+$", max_length=200)]


class NewSubscription(Request):
    """A tier, for so many seats."""

    tier: TierName
    seats: Seats = 1


class SubscriptionChange(Request):
    """Another tier or other seats; what is left out stays."""

    tier: TierName | None = None
    seats: Seats | None = None


class Woven(Request):
    """Cloth that was woven."""

    yards: Annotated[int, Field(ge=1, le=100_000), WHOLE]


class NewRefund(Request):
    """Money to give back, in minor units (all that is left where none is named)."""

    reference: Reference
    amount: Annotated[int, Field(gt=0), WHOLE] | None = None


class Moment(Request):
    """A moment in seconds since the epoch."""

    to: Annotated[int, WHOLE]


class Patience(Request):
    """How long to wait, in seconds."""

    deadline_s: Annotated[float, Field(gt=0, le=60, strict=False)] = 5.0


class Money(BaseModel):
    """An amount in minor units."""

    amount: int
    currency: str = CURRENCY


class Opened(BaseModel):
    """A new workspace; its key is shown this once."""

    id: str
    stripe_customer: str
    key: str


class Workspace(BaseModel):
    """A workspace, and how it stands."""

    id: str
    name: str
    tier: TierName | None
    standing: Status | Literal["idle", "closed"]


class Card(BaseModel):
    """A card that may be charged."""

    id: str


class Subscription(BaseModel):
    """A subscription; times are seconds since the epoch."""

    id: str
    tier: TierName
    seats: int
    status: Status
    period_end: int
    ends_at: int | None


class Yards(BaseModel):
    """Cloth that was written down, and what it adds to the month's invoice."""

    yards: int
    price: Money


class Statement(BaseModel):
    """What is owed now, and what a yard costs."""

    owed: Money
    yard: Money | None


class Invoice(BaseModel):
    """An invoice of a month, or the last one."""

    id: str
    total: Money
    status: str
    at: int


class Payment(BaseModel):
    """Money that was paid, or (less than nothing) given back."""

    id: str
    value: Money
    status: Literal["settled", "failed"]
    stripe: str
    about: str
    at: int


class Refund(BaseModel):
    """A refund."""

    stripe: str


class Progress(BaseModel):
    """Whether anything is still under way."""

    settled: bool
    pending: int


class Cards(BaseModel):
    """A page of cards."""

    data: list[Card]
    next: str | None


class Invoices(BaseModel):
    """A page of invoices, the oldest first."""

    data: list[Invoice]
    next: str | None


class Payments(BaseModel):
    """A page of payments, the oldest first."""

    data: list[Payment]
    next: str | None


class Trouble(BaseModel):
    """Why a request was refused."""

    code: str
    detail: str


class Problem(BaseModel):
    """How every refusal looks."""

    error: Trouble
