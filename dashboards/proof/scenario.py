"""A month and three days of a small service: every plan, reason to fail and kind of event."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dashboards.proof.clockwork import await_that
from dashboards.proof.hand import GAUGED
from harness.errors import Unknown
from harness.metrics import CATALOGUE
from harness.signing import header
from harness.timeline import DAY_S, HOUR_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dashboards.proof.bank import Bank
    from dashboards.proof.clockwork import Clockwork
    from dashboards.proof.hand import Hand
    from harness.provider import Movement
    from harness.session import Customer, Session
    from harness.target.wire import Call

GOOD, BAD, DISPUTED = "pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_createDispute"
ASKS = "pm_card_authenticationRequired"
_UNNAMED = "card_velocity_exceeded"
_OWN = frozenset({"unknown", "other", "authentication_required"})
REASONS = (
    *(
        c
        for c in CATALOGUE["billing_payment_failures_total"].labels["failure_code"]
        if c not in _OWN
    ),
    _UNNAMED,
)
"""Every reason that a bank gives for a no, and one that no catalogue names."""


@dataclass
class Scenario:
    """What the customers do, phase by phase; `customers` are kept by the part they play."""

    session: Session
    time: Clockwork
    bank: Bank
    webhook_secret: str
    log: Callable[[], Iterable[Mapping[str, Any]]]
    hand: Hand
    customers: dict[str, Customer] = field(default_factory=dict)

    def play(self, tell: Callable[[str], None]) -> None:
        """Play all phases. Raises `Unknown` or `AssertionError` where one does not come about."""
        begins_s = self.time.provider.now()
        for title, after_s, act in self._phases():
            tell(title)
            renewed_s = self._renewed_s() if act == self._renewals else begins_s
            begins_s = renewed_s + after_s
            self.time.begin(begins_s, can_settle=self.bank.shut is None)
            act()
            self.time.end(title, can_settle=self.bank.shut is None)

    def play_past_the_service(self, tell: Callable[[str], None]) -> None:
        """Let a charge be booked twice by hand, and then let nobody read the books."""
        titles = "somebody books a charge a second time", "the books cannot be read"
        tell(titles[0])
        at_s = self._an_hour_later()
        self.hand.book_again(self._charges("payg")[0].provider_id, at_s)
        self.time.end(titles[0], can_settle=True, knows="books")
        tell(titles[1])
        self._an_hour_later()
        with self.hand.hiding(GAUGED):
            self.time.end(titles[1], can_settle=False, knows="nothing")

    def _an_hour_later(self) -> int:
        return self.time.begin(self.time.snapshots[-1].mark_s + HOUR_S, can_settle=True)

    def _phases(self) -> tuple[tuple[str, int, Callable[[], None]], ...]:
        """Give each phase with its pause after the one before; renewals are paid an hour after."""
        return (
            ("nothing yet", 0, _nothing),
            ("first customers", HOUR_S, self._first),
            ("a month later, renewals", 2 * HOUR_S, self._renewals),
            ("an ordinary day", 6 * HOUR_S, self._day),
            ("cards are declined, one after another", 8 * HOUR_S, self._declines),
            ("a little of everything", 3 * HOUR_S, self._everything),
            ("webhooks cannot have their effect", 2 * HOUR_S, self._stuck),
            ("and still cannot", HOUR_S // 4, _nothing),
            ("they can again, and a charge is made twice", 6 * HOUR_S, self._double),
            ("a day later the reconciler has seen it", DAY_S + HOUR_S, self._reconciled),
        )

    def _renewed_s(self) -> int:
        who = self.customers["steady"].provider_customer
        return self.time.provider.period_end(str(who))

    # What customers do.

    def _sign_up(self, part: str, card: str | None = GOOD, source: str = "direct") -> Customer:
        more: dict[str, Any] = {"installation": self.session.names.new("install")}
        about = {"email": self.session.names.email(), "name": "Ada", "source": source}
        if source == "direct":
            more = {}
        self.session.ok("create_customer", **about, **more)
        customer = self.customers[part] = self.session.customers[-1]
        if card is not None:
            self._add_card(customer, card)
        return customer

    def _add_card(self, customer: Customer, card: str) -> None:
        self.session.ok("add_payment_method", customer=customer, token=card, consent=True)

    def _use_up(self, customer: Customer) -> None:
        """Take all credits that are left, so that the next fix is charged."""
        left = int(self.session.ok("get_balance", customer=customer)["units"])
        if left:
            self.session.ok(
                "adjust_credits", customer=customer, units=-left, reason="taken for the proof"
            )

    def _use(self, customer: Customer, times: int = 1, repository: str | None = None) -> None:
        def named(call: Call) -> Call:
            body = json.loads(call.body or b"{}")
            return replace(call, body=json.dumps({**body, "repository": repository}).encode())

        for _ in range(times):
            self.session.ok("record_usage", **self._usage(customer),
                            alter=named if repository else None)  # fmt: skip

    def _use_twice_for_once(self, customer: Customer) -> None:
        """Let a fix fail right before its commit: what is rolled back has not happened."""
        usage = self._usage(customer)
        self.session.ok("arm_failpoint", point="usage_before_commit", action="fail")
        if self.session.perform("record_usage", **usage).kind != "ok":
            self.session.ok("record_usage", **usage)

    def _usage(self, customer: Customer) -> Mapping[str, Any]:
        new = self.session.names.new("usage")
        return {"customer": customer, "usage_id": new, "quantity": 1}

    def _subscribe(self, customer: Customer, quantity: int = 1) -> None:
        self.session.ok("subscribe", customer=customer, plan="pro", quantity=quantity)

    def _charges(self, part: str) -> list[Movement]:
        """Give the charges that a customer paid at the provider, oldest first."""
        who = self.customers[part].provider_customer
        if who is None:
            raise Unknown("the target does not tell the provider's id of a customer")
        found = self.time.provider.journal(frozenset({who})).movements
        return [m for m in found if m.type == "charge" and m.state == "succeeded"]

    # What happens in each phase.

    def _first(self) -> None:
        for part in ("steady", "unlucky", "leaving"):
            self._subscribe(self._sign_up(part))
        self._sign_up("spare", BAD)
        payg = self._sign_up("payg", source="marketplace")
        self._use_up(payg)
        self.session.ok("set_plan", customer=payg, plan="payg")
        self._use(payg, 2)
        self.session.ok(
            "cancel_subscription", customer=self.customers["leaving"], at_period_end=True
        )
        self._card_goes_bad(self.customers["unlucky"])
        self.time.settle()

    def _card_goes_bad(self, customer: Customer) -> None:
        listed = self.session.ok("list_payment_methods", customer=customer)
        self._add_card(customer, BAD)
        self.session.ok(
            "remove_payment_method",
            customer=customer,
            payment_method=listed["items"][0]["payment_method"],
        )

    def _renewals(self) -> None:
        self._use(self.customers["steady"], 3)

    def _day(self) -> None:
        self._use(self.customers["steady"], 4, "acme/app")
        self._use_twice_for_once(self.customers["steady"])
        with self.bank.slow(0.25):
            self._use(self.customers["payg"], 3)
        self._subscribe(self._sign_up("hasty", source="marketplace"), 2)
        self.session.ok(
            "cancel_subscription", customer=self.customers["hasty"], at_period_end=False
        )
        charge = self.session.ok("list_payments", customer=self.customers["payg"])["items"][0]
        refund = {"payment": charge["payment"], "amount_minor": 900}
        self.session.ok("refund_payment", customer=self.customers["payg"], **refund)
        disputing = self._sign_up("disputing", DISPUTED)
        self._use_up(disputing)
        self._use(disputing)
        self.time.settle()

    def _declines(self) -> None:
        customer = self._sign_up("declined", BAD)
        self._use_up(customer)
        for times, reason in enumerate(REASONS, start=1):
            # Each another number of times: of reasons alike in number no panel can show the first.
            for _ in range(times):
                with self.bank.saying(reason):
                    self.session.refused("record_usage", **self._usage(customer))
        asked = self._sign_up("asked", ASKS)
        self._use_up(asked)
        self.session.refused("record_usage", **self._usage(asked))

    def _everything(self) -> None:
        self._sales()
        self._refusals()
        self._deliveries()
        self.time.settle()

    def _sales(self) -> None:
        with self.bank.slow(0.25):
            self._subscribe(self._sign_up("new_pro"))
            self._use(self.customers["payg"], 2)
        converted = self._sign_up("converted", source="marketplace")
        self._use(converted, 2)
        self._use_up(converted)
        with self.bank.slow(0.7):
            self._use(converted)
        self._subscribe(self._sign_up("seats"), 3)
        over = self.customers["new_pro"]
        self.time.settle()
        self._use_up(over)
        self._use(over, 2, "acme/app")
        for _ in range(5):
            self.session.ok("get_balance", customer=over)

    def _refusals(self) -> None:
        poor = self._sign_up("poor", None)
        self._use_up(poor)
        self.session.refused("record_usage", **self._usage(poor))
        known = {"email": poor.email, "name": "Eve", "source": "direct"}
        self.session.refused("create_customer", **known)
        self.session.refused("subscribe", customer=self.customers["spare"], plan="pro", quantity=1)
        with self.bank.saying("insufficient_funds"):
            self.session.refused("record_usage", **self._usage(self.customers["declined"]))
        with self.bank.closed("/v1/customers"):
            email = self.session.names.email()
            self.session.perform("create_customer", email=email, name="Ada", source="direct")

    def _deliveries(self) -> None:
        """Let an event come twice, one that nobody knows, and one with a forged signature."""
        self.time.settle()
        body = json.dumps(
            {"id": self.session.names.new("evt"), "object": "event", "type": "payout.paid",
             "data": {"object": {"id": "po_1", "object": "payout"}}}
        ).encode()  # fmt: skip
        for secret in (self.webhook_secret, self.webhook_secret, "whsec_of_somebody_else"):
            signature = header(body, secret, int(time.time()))
            self.session.perform(
                "receive_webhook",
                payload=body,
                signature_headers=(("Stripe-Signature", signature),),
            )

    def _stuck(self) -> None:
        charge = self._charges("payg")[-1]
        self.bank.shut = "/v1/refunds"
        self.time.provider.refund(charge)
        await_that(
            lambda: any(_is(line, "event_settled", "pending") for line in self.log()),
            "no event failed to have its effect",
        )

    def _double(self) -> None:
        self.bank.shut = None
        self.time.settle()
        self.time.provider.charge_again(self._charges("converted")[0])

    def _reconciled(self) -> None:
        await_that(
            lambda: any(line["event"] == "reconciled" and line["findings"] for line in self.log()),
            "the reconciler did not see the second charge",
        )


def _is(line: Mapping[str, Any], event: str, state: str) -> bool:
    return bool(line["event"] == event and line["state"] == state)


def _nothing() -> None:
    """Let time pass."""
