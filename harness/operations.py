"""What a billing API can do, by the harness's own names.

A test speaks of these operations and of nothing else; a target says how each is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Repeat = Literal["nature", "key", "client_id", "event_id"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a billing API does.

    `outputs` in `optional_outputs` may be missing from a target or empty in a reply; the others
    must be mapped, and a reply without one is not understood. `repeat` says what makes a second
    request safe: the operation's nature, an idempotency key, an id of the client's, or the id of
    the event. `reads` marks those that change nothing; `paid` those that can move money.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    optional_outputs: frozenset[str]
    repeat: Repeat
    reads: bool
    paid: bool
    item_outputs: tuple[str, ...] = ()

    @property
    def lists(self) -> bool:
        """Whether its reply is a list, page by page."""
        return bool(self.item_outputs)


def _operation(  # noqa: PLR0913 - one argument a column of the table below
    name: str,
    inputs: str,
    outputs: str,
    repeat: Repeat = "nature",
    *,
    items: str = "",
    reads: bool = False,
    paid: bool = False,
) -> Operation:
    named = [output.rstrip("?") for output in outputs.split()]
    optional = frozenset(output.rstrip("?") for output in outputs.split() if output.endswith("?"))
    return Operation(
        name=name,
        inputs=tuple(inputs.split()),
        outputs=tuple(named),
        optional_outputs=optional,
        repeat=repeat,
        reads=reads,
        paid=paid,
        item_outputs=tuple(items.split()),
    )


_LEDGER = "units balance_after source cause at"
_MONEY = "payment amount_minor currency provider_id state cause at"

_TABLE = (
    _operation(
        "create_customer",
        "email name source installation test_clock",
        "customer provider_customer? credential? balance?",
        "key",
    ),
    _operation("get_customer", "customer", "plan? status? source?", reads=True),
    _operation("close_customer", "customer", ""),
    _operation(
        "get_subscription",
        "customer subscription",
        "plan? quantity? status? period_end? cancel_at?",
        reads=True,
    ),
    _operation("add_payment_method", "customer token consent", "payment_method?", "key"),
    _operation("list_payment_methods", "customer", "", items="payment_method", reads=True),
    _operation("remove_payment_method", "customer payment_method", ""),
    _operation("set_plan", "customer plan", "plan?"),
    _operation("subscribe", "customer plan quantity", "subscription? status?", "key", paid=True),
    _operation(
        "change_subscription",
        "customer subscription plan quantity",
        "status?",
        "key",
        paid=True,
    ),
    _operation("resume_subscription", "customer subscription", "status?"),
    _operation("cancel_subscription", "customer subscription at_period_end", "status? ends_at?"),
    _operation(
        "record_usage",
        "customer usage_id quantity at",
        "charged_minor? balance?",
        "client_id",
        paid=True,
    ),
    _operation(
        "get_balance",
        "customer",
        "units? owed_minor? next_price_minor? warning? used_this_month?",
        reads=True,
    ),
    _operation("list_ledger", "customer", "", items=_LEDGER, reads=True),
    _operation("list_payments", "customer", "", items=_MONEY, reads=True),
    _operation("list_invoices", "customer", "", items=_MONEY, reads=True),
    _operation("refund_payment", "customer payment amount_minor", "refund?", "key", paid=True),
    _operation("adjust_credits", "customer units reason", "entry?", "key"),
    _operation("create_key", "customer", "key credential", "key"),
    _operation("rotate_key", "customer key", "key credential", "key"),
    _operation("revoke_key", "customer key", ""),
    _operation(
        "exchange_credentials",
        "customer providers ttl_minutes",
        "expires_at? credential?",
        "key",
    ),
    _operation("receive_webhook", "payload signature_headers", "", "event_id"),
    _operation("advance_time", "to", "settled? pending?"),
    _operation("drain", "deadline_s", "settled? pending?"),
    _operation("purge_customer", "customer", "settled? pending?"),
    _operation("arm_failpoint", "point action hit", ""),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({entry.name: entry for entry in _TABLE})
"""Every operation, by name."""


def covers_core(names: frozenset[str]) -> bool:
    """Whether operations of these names are enough for a verdict.

    A target that cannot create a customer, charge for something and show the balance or the
    invoices leaves nothing to be judged: its verdict is *unknown*, whichever suites ran.

    >>> covers_core(frozenset({"create_customer", "record_usage", "get_balance"}))
    True
    >>> covers_core(frozenset({"create_customer", "get_balance"}))
    False
    """
    paid = any(entry.paid and entry.name in names for entry in _TABLE)
    shown = bool(names & {"get_balance", "list_invoices"})
    return "create_customer" in names and paid and shown
