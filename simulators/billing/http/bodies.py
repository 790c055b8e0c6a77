"""The shapes of requests, as OpenAPI shows them. README.md explains them one by one."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

# A dot-atom (RFC 5322) at a domain of two labels or more; blanks around it are forgiven.
_ATOM = r"[^@.\s\x00-\x1f\x7f\"(),:;<>\[\]\\]+"
_LABEL = r"[A-Za-z0-9](?:-*[A-Za-z0-9])*"
_EMAIL = rf"^ *{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+ *$"


def _whole(value: object) -> object:
    """Read 34.0 as 34: to JSON Schema both are integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Token = Annotated[str, StringConstraints(max_length=100, pattern=r"^(pm|tok|card)_[A-Za-z0-9_]+$")]
FixId = Annotated[
    str, StringConstraints(max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@#+-]*$")
]
Provider = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9_-]*$")]
MONEY_MAX = 99_999_999  # Stripe's own limit for one amount
_QUANTITY_MAX = 10**6  # what an integer may be at all; the setting says what is on sale
_NOT_ZERO: dict[str, Any] = {"not": {"const": 0}}
Plan = Literal["trial", "payg", "pro"]


class _Body(BaseModel):
    """A request's body: what is not documented is refused, so nobody sets a plan or a price."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OnboardBody(_Body):
    """A new customer."""

    email: Annotated[str, StringConstraints(max_length=254, pattern=_EMAIL)] = Field(
        examples=["ada@example.com"]
    )
    name: Text | None = Field(default=None, examples=["Ada"])
    source: Literal["direct", "gh_marketplace"] = "direct"
    installation_id: Annotated[
        str | None, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    ] = None

    @field_validator("email")
    @classmethod
    def _normalised(cls, value: str) -> str:
        """Bring an e-mail into the one form under which it is known."""
        return unicodedata.normalize("NFC", value.strip()).lower()


class PaymentMethodBody(_Body):
    """A card by Stripe's name for it, and its holder's consent to be billed."""

    payment_method: Token = Field(examples=["pm_card_visa"])
    billing_consent: bool = False


class PlanBody(_Body):
    """The plan to move to."""

    plan: Plan


class SubscribeBody(_Body):
    """A subscription to pro."""

    plan: Literal["pro"] = "pro"
    quantity: Whole = Field(default=1, ge=1, le=_QUANTITY_MAX)


class QuantityBody(_Body):
    """A new quantity."""

    quantity: Whole = Field(ge=1, le=_QUANTITY_MAX)


class FixBody(_Body):
    """One deployed fix."""

    fix_id: FixId = Field(examples=["fix-1"])
    repository: Text | None = Field(default=None, examples=["ada/engine"])


class RotateBody(_Body):
    """Which key to replace; without one, the key that the request is made with."""

    key_id: Annotated[str | None, StringConstraints(max_length=64)] = None


class ExchangeBody(_Body):
    """For which providers, and for how long."""

    providers: Annotated[list[Provider], Field(min_length=1, max_length=10)] = Field(
        examples=[["github"]], json_schema_extra={"uniqueItems": True}
    )
    ttl_minutes: Whole = Field(default=60, ge=1, le=240)

    @field_validator("providers")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("each provider once")
        return value


class RefundBody(_Body):
    """How much to give back; without an amount, all that is left."""

    amount_minor: Annotated[int, Field(gt=0, le=MONEY_MAX), BeforeValidator(_whole)] | None = Field(
        default=None, examples=[1000]
    )


class AdjustmentBody(_Body):
    """Credits to add (positive) or take (negative), and why."""

    units: Whole = Field(ge=-1_000_000, le=1_000_000, examples=[5], json_schema_extra=_NOT_ZERO)
    reason: Text = Field(examples=["made good for an outage"])

    @field_validator("units")
    @classmethod
    def _some(cls, value: int) -> int:
        if value == 0:
            raise ValueError("not zero")
        return value


class ClockBody(_Body):
    """The time to move to."""

    to: Whole = Field(ge=0, le=2**33)


class DrainBody(_Body):
    """How long to wait for background work."""

    deadline_s: Annotated[float, Field(strict=False, ge=0, le=120)] = 5.0
