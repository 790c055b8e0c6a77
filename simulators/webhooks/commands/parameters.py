"""What a person may say about an event, and what it means: every value checked, none guessed at."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from harness.errors import SettingsError
from simulators.webhooks.commands.options import ABOUT

AMOUNT_MAX = 99_999_999
"""Stripe's largest charge: eight digits, in the currency's smallest unit."""
QUANTITY_MAX = 100_000
UNIT_MINOR = 2_000
"""What a unit costs a month where no amount is given."""
RETRY_AFTER_S = 3 * 86_400
NO_RETRY = "none"

_SPANS_S = {"m": 60, "h": 3_600, "d": 86_400}
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TIME_MAX = 2**33


def _option(text: str, metavar: str, *names: str) -> Any:
    """Describe the option of a field; its name is the field's unless one is given."""
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=ABOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The options that say what an event is about, as they were given; None: not given.

    `amount_cents` is what a month, charge or intent comes to in all, in the currency's smallest
    unit (yen for JPY). `object_id` is the id of the object inside the event where that is neither
    customer nor subscription.
    """

    customer: Annotated[str | None, _option("The customer's id.", "ID")] = None
    subscription: Annotated[str | None, _option("The subscription's id.", "ID")] = None
    object_id: Annotated[
        str | None, _option("The id of the invoice, charge, intent, … in the event.", "ID", "--id")
    ] = None
    amount_cents: Annotated[
        int | None, _option("What it comes to in all, in the currency's smallest unit.", "N")
    ] = None
    refund_cents: Annotated[
        int | None, _option("How much of a charge goes back; all of it unless said.", "N")
    ] = None
    currency: Annotated[str | None, _option("The currency; usd unless said.", "CODE")] = None
    quantity: Annotated[
        int | None, _option("How many units of the plan; they divide the amount.", "N")
    ] = None
    plan_from: Annotated[str | None, _option("The plan (a price's id) until the event.", "ID")] = (
        None
    )
    plan_to: Annotated[str | None, _option("The plan (a price's id) from the event on.", "ID")] = (
        None
    )
    reason: Annotated[
        str | None,
        _option("Why it happened: `billing-harness webhooks events` has the words.", "WORD"),
    ] = None
    failure_code: Annotated[
        str | None, _option("Why the bank refused: card_declined, insufficient_funds, …", "CODE")
    ] = None
    next_retry: Annotated[
        str | None, _option("When Stripe tries again: +3d, 2030-01-31, Unix seconds, none.", "WHEN")
    ] = None

    def __post_init__(self) -> None:
        for name in ("customer", "subscription", "object_id", "plan_from", "plan_to"):
            _check_id(flag_of(name), getattr(self, name))
        if self.failure_code is not None and not re.fullmatch(r"[a-z_]{1,60}", self.failure_code):
            raise SettingsError(
                f"--failure-code {self.failure_code!r} is no code",
                hint="For example card_declined, insufficient_funds, expired_card.",
            )
        if self.currency is not None and not re.fullmatch(r"[A-Za-z]{3}", self.currency):
            raise SettingsError(
                f"--currency {self.currency!r} is no currency",
                hint="Three letters, for example usd, eur, jpy.",
            )
        _check_range("--quantity", self.quantity, 1, QUANTITY_MAX)
        _check_range("--amount-cents", self.amount_cents, 0, AMOUNT_MAX)
        _check_range("--refund-cents", self.refund_cents, 1, AMOUNT_MAX)

    def given(self) -> list[str]:
        """Name the parameters that were given, in the order of the fields."""
        return [name for name in NAMES if getattr(self, name) is not None]

    def amount_minor(self) -> int:
        """Return the whole amount; `SettingsError` where the units cannot share it evenly."""
        quantity = self.quantity or 1
        amount = UNIT_MINOR * quantity if self.amount_cents is None else self.amount_cents
        if amount > AMOUNT_MAX:
            raise SettingsError(
                f"{quantity} units of {UNIT_MINOR} come to more than Stripe charges at once",
                hint="Say what they come to with --amount-cents.",
            )
        if amount % quantity:
            below = amount - amount % quantity
            raise SettingsError(
                f"--amount-cents {amount} is for all --quantity {quantity} units and no multiple"
                f" of {quantity}",
                hint=f"Try --amount-cents {below} or {below + quantity}.",
            )
        return amount


NAMES = tuple(field.name for field in fields(Parameters))


def flag_of(name: str) -> str:
    """Return the option of a parameter.

    >>> flag_of("amount_cents"), flag_of("object_id")
    ('--amount-cents', '--id')
    """
    return "--id" if name == "object_id" else f"--{name.replace('_', '-')}"


def _check_id(flag: str, value: str | None) -> None:
    if value is not None and not _ID.fullmatch(value):
        raise SettingsError(
            f"{flag} {value!r} is no id",
            hint="Letters, digits, - and _, for example cus_NffrFeUfNV2Hib.",
        )


def _check_range(flag: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise SettingsError(f"{flag} {value} is out of range", hint=f"From {least} to {most}.")


def retry_moment(text: str | None, now: float | None = None) -> int | None:
    """Read when Stripe tries again, in Unix seconds; None where it will not.

    Takes ``none``, a span from now (``+3d``, ``+12h``, ``+30m``), an ISO 8601 date or time (in UTC
    unless it says otherwise) or Unix seconds; three days from now where nothing is said.

    >>> retry_moment("+2h", now=1_000), retry_moment("2030-01-31"), retry_moment("none")
    (8200, 1896048000, None)
    """
    at = int(time.time() if now is None else now)
    if text is None:
        return at + RETRY_AFTER_S
    if text == NO_RETRY:
        return None
    if span := re.fullmatch(r"\+(\d{1,4})([mhd])", text):
        return at + int(span[1]) * _SPANS_S[span[2]]
    if re.fullmatch(r"\d{1,10}", text) and int(text) < _TIME_MAX:
        return int(text)
    try:
        read = datetime.fromisoformat(text)
        moment = int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        moment = -1
    if not 0 <= moment < _TIME_MAX:
        raise SettingsError(
            f"--next-retry {text!r} is no moment",
            hint="For example +3d, +12h, 2030-01-31, 2030-01-31T12:00:00Z, 1896048000, or none.",
        )
    return moment
