"""Puts a staging into its ten known states from inside the service, without HTTP or webhooks.

The states are those of the harness's `fixtures/customers.toml`; `billing-harness staging status`
reads them back whichever of the two made them. Renewals happen on a test clock of Stripe's, so the
time of nobody else moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from simulators.billing import ledger
from simulators.billing.core import Answer, Core
from simulators.billing.idempotency import unkeyed_slot
from simulators.billing.identifiers import new_id
from simulators.billing.operations import (
    accounts,
    cards,
    charging,
    invoicing,
    purge,
    subscriptions,
)
from simulators.billing.operations.accounts import SignUp
from simulators.billing.operations.charging import Fix
from simulators.billing.problems import Problem
from simulators.billing.storage.tables import Customer, Subscription
from simulators.billing.stripe_gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOMAIN = "test.example.com"
CLOCK_NAME = "billing reset-staging"
_CLOCK_DEADLINE_S = 300.0
# A renewal is drafted when the period ends, and finalised and paid an hour later.
_PAID_AFTER_S = 2 * 3600


class StagingError(Exception):
    """A reset that came to no end; the message says how far it came and how to go on."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What a reset did. `fixture_types` are the states made, each verified.

    `kept` are ids of customers that had to stay, because Stripe could not be asked about them.
    """

    deleted: int
    created: int
    fixture_types: Sequence[str]
    kept: Sequence[str] = ()


@dataclass(slots=True)
class _Account:
    """One customer on the way to a state."""

    core: Core
    id: str
    cards: list[str] = field(default_factory=list)

    def card(self, token: str = "pm_card_visa") -> None:  # noqa: S107 - the name of a test card
        answer = cards.add(self.core, self.id, token, unkeyed_slot(self.core), consent=True)
        self.cards.append(answer.body["payment_method_id"])

    def use(self, times: int) -> None:
        for _ in range(times):
            fix = Fix(new_id("fix"), None)
            done = charging.begin(self.core, self.id, fix, unkeyed_slot(self.core))
            if not isinstance(done, Answer):
                raise StagingError(f"a fix of {self.id} was not paid by a credit at hand")

    def use_up(self) -> None:
        with self.core.database.read() as session:
            left = ledger.balance(session, self.id)
        self.use(left)

    def subscribe(self) -> None:
        start = subscriptions.begin(self.core, self.id, 1)
        if not isinstance(start, subscriptions.Start):
            raise StagingError(f"a subscription of {self.id} is under way elsewhere")
        subscriptions.carry_out(self.core, start, unkeyed_slot(self.core))
        self.level()

    def cancel(self, *, at_period_end: bool) -> None:
        slot = unkeyed_slot(self.core)
        subscriptions.cancel(self.core, self.id, slot, at_period_end=at_period_end)

    def bad_card(self) -> None:
        (good,) = self.cards
        self.card("pm_card_chargeCustomerFail")
        cards.remove(self.core, self.id, good)

    def level(self) -> None:
        """Bring the subscription's books level with Stripe, which a webhook would do later."""
        stripe_id = self._subscription().stripe_id
        if stripe_id is not None:
            subscriptions.level(self.core, stripe_id)
            invoicing.level(self.core, stripe_id)

    def period_end(self) -> int:
        return self._subscription().current_period_end or 0

    def _subscription(self) -> Subscription:
        mine = select(Subscription).where(Subscription.customer_id == self.id)
        with self.core.database.read() as session:
            return session.scalars(mine.order_by(Subscription.created_at.desc())).one()


@dataclass(frozen=True, slots=True)
class _State:
    """A state: its name, its address's first part, its way, and what is due in it."""

    name: str
    email: str
    way: Callable[[_Account], None]
    plan: str
    units: Callable[[Core], int]
    status: str = "active"
    needs_time: bool = False


def _billed(account: _Account) -> None:
    account.card()


def _payg(account: _Account) -> None:
    account.card()
    account.use_up()
    accounts.set_plan(account.core, account.id, "payg")


def _pro(account: _Account) -> None:
    account.card()
    account.use_up()
    account.subscribe()


def _partial(account: _Account) -> None:
    _pro(account)
    account.use(account.core.settings.pro_included_credits // 4)


def _past_due(account: _Account) -> None:
    _pro(account)
    account.bad_card()


def _cancelled(account: _Account) -> None:
    _pro(account)
    account.cancel(at_period_end=False)


def _scheduled(account: _Account) -> None:
    _pro(account)
    account.cancel(at_period_end=True)


def _free(core: Core) -> int:
    return core.settings.sign_up_credits


def _more(core: Core) -> int:
    return core.settings.sign_up_credits + core.settings.first_card_credits


def _none(_: Core) -> int:
    return 0


def _month(core: Core) -> int:
    return core.settings.pro_included_credits


def _used(core: Core) -> int:
    return _month(core) - _month(core) // 4


def _rolled(core: Core) -> int:
    return min(_month(core), core.settings.pro_rollover_cap) + _month(core)


STATES = {
    "trial": _State("Toni Trial", "trial", lambda _: None, "trial", _free),
    "trial_with_billing": _State("Billie Trial", "trial-with-billing", _billed, "trial", _more),
    "trial_expired": _State("Edgar Trial", "trial-expired", _Account.use_up, "trial", _none),
    "payg_active": _State("Paula Payg", "payg-active", _payg, "payg", _none),
    "pro_active": _State("Ada Pro", "pro-active", _pro, "pro", _month),
    "pro_partial_usage": _State("Parker Pro", "pro-partial-usage", _partial, "pro", _used),
    "pro_past_due": _State(
        "Dunstan Pro", "pro-past-due", _past_due, "pro", _month, "past_due", needs_time=True
    ),
    "pro_cancelled": _State("Cecil Pro", "pro-cancelled", _cancelled, "payg", _month),
    "pro_cancel_scheduled": _State("Selma Pro", "pro-cancel-scheduled", _scheduled, "pro", _month),
    "pro_rollover": _State("Rowan Pro", "pro-rollover", _pro, "pro", _rolled, needs_time=True),
}


def reset(core: Core, keys: dict[str, str] | None = None) -> Reset:
    """Remove the customers of the test domains, make the ten anew, and read each back.

    Whatever a reset that was cut off left is of the test domains, too, and goes first: so it may
    be run again at any time. `keys` takes each new customer's API key by its state. Raises
    `StagingError` saying how far it came.
    """
    done: list[str] = []
    gone = None
    try:
        core.stripe.test_clocks.remove_all(CLOCK_NAME)
        gone = purge.purge_all(core)
        if gone.kept:
            return Reset(gone.removed, 0, (), gone.kept)
        made = _make_all(core, done, {} if keys is None else keys)
    except (GatewayError, Problem) as error:
        removed = (
            f"{gone.removed} customers are removed" if gone else "nothing was removed for sure"
        )
        raise StagingError(
            f"{error}; so far {removed}, {len(done)} of {len(STATES)} made:"
            " run it again once that is mended, it begins anew"
        ) from error
    wrong = [told for key, account in made.items() for told in _differences(key, account)]
    if wrong:
        raise StagingError("made, but not as it should be: " + "; ".join(wrong))
    return Reset(gone.removed, len(made), tuple(made))


def _make_all(core: Core, done: list[str], keys: dict[str, str]) -> dict[str, _Account]:
    """Make one customer for each state, those that need time first; `done` names those begun."""
    clock = core.stripe.test_clocks.create(CLOCK_NAME, core.clock.now())
    made: dict[str, _Account] = {}
    for key, state in sorted(STATES.items(), key=lambda pair: not pair[1].needs_time):
        email = f"{state.email}@{DOMAIN}"
        sign_up = SignUp(email, state.name, "direct", None, clock if state.needs_time else None)
        body = accounts.onboard(core, sign_up, unkeyed_slot(core)).body
        made[key] = _Account(core, body["customer_id"])
        keys[key] = body["api_key"]
        state.way(made[key])
        done.append(key)
    late = [account for key, account in made.items() if STATES[key].needs_time]
    ends = max(account.period_end() for account in late)
    core.stripe.test_clocks.advance(clock, ends + _PAID_AFTER_S, _CLOCK_DEADLINE_S)
    for account in late:
        account.level()
    return {key: made[key] for key in STATES}


def _differences(key: str, account: _Account) -> list[str]:
    """Read a customer back, and say what is not as its state has it."""
    state, core = STATES[key], account.core
    with core.database.read() as session:
        customer = session.get_one(Customer, account.id)
        told = {
            "plan": customer.plan,
            "status": accounts.status(session, customer),
            "balance": ledger.balance(session, account.id),
        }
    due = {"plan": state.plan, "status": state.status, "balance": state.units(core)}
    return [
        f"{key}: {what} is {told[what]!r}, where {value!r} is due"
        for what, value in due.items()
        if told[what] != value
    ]
