from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from harness.customers import Reached, differences, load_states, reach, reach_all, why_not
from harness.errors import FixtureError, NotMapped
from harness.history import History
from harness.naming import Names
from harness.redact import Redactor
from harness.session import Session
from harness.target.load import find_target
from harness.target.mapped import ProfileTarget
from tests.core.making import CREATE, SUBSCRIBE, answer, profile

if TYPE_CHECKING:
    from pathlib import Path

    from harness.customers import State
    from harness.session import Customer
    from harness.target.wire import Call, Reply

STATES = load_states()
FREE, INCLUDED, CAP = 2, 8, 3
CATALOG = {
    "grants": {"sign_up": FREE, "billing_added": 1},
    "plans": {
        "trial": {},
        "payg": {"overage_minor": 7},
        "pro": {"price_minor": 90, "included_units": INCLUDED, "rollover_cap": CAP},
    },
}
OPERATIONS: dict[str, Any] = {
    "create_customer": CREATE,
    "subscribe": SUBSCRIBE,
    "get_customer": {"request": "GET /{customer}", "reply": {"plan": "plan", "status": "status"}},
    "get_balance": {"request": "GET /{customer}", "reply": {"units": "units"}},
    "get_subscription": {
        "request": "GET /{customer}",
        "reply": {"status": "standing", "cancel_at": "cancel_at", "period_end": "period_end"},
    },
    "add_payment_method": {"request": "POST /{customer}/cards", "body": {"token": "{token}"}},
    "list_payment_methods": {
        "request": "GET /{customer}",
        "items": {"path": "cards", "reply": {"payment_method": "id"}},
    },
    "remove_payment_method": {"request": "DELETE /{customer}/{payment_method}"},
    "set_plan": {"request": "PUT /{customer}/plan", "body": {"plan": "{plan}"}},
    "record_usage": {"request": "POST /{customer}/usage", "body": {"id": "{usage_id}"}},
    "advance_time": {"request": "POST /clock"},
    "cancel_subscription": {
        "request": "DELETE /{customer}",
        "query": {"at_period_end": "{at_period_end}"},
    },
}


class Service:
    """A billing service in a few lines, all in memory; `moved` are the moments that time came to.

    It is the timeline as well: a period takes 100, and whoever has a good card is renewed.
    """

    def __init__(self, *lacking: str) -> None:
        self.accounts: list[dict[str, Any]] = []
        self.sent: list[Call] = []
        self.moved: list[int] = []
        self.clock, self._ids = 0, count(1)
        mapped = {name: told for name, told in OPERATIONS.items() if name not in lacking}
        told = profile(mapped, catalog=CATALOG).model_copy(update={"settle_deadline_s": 0.01})
        history, redactor = History(None, Redactor()), Redactor()
        names = Names(7, "run", "test")
        self.session = Session(
            ProfileTarget(told), self._send, history, redactor, names=names, wait=lambda _: None
        )

    def advance_to(self, moment: int) -> int:
        self.moved.append(moment)
        for account in self.accounts:
            if account["period_end"] and account["period_end"] < moment:
                self._renew(account, moment)
        self.clock = moment
        return moment

    def _renew(self, account: dict[str, Any], moment: int) -> None:
        account["period_end"] = moment + 100
        if account["cards"][-1]["token"] != "pm_card_visa":
            account |= {"status": "past_due", "standing": "past_due"}
        elif account["cancel_at"]:
            account |= {"plan": "payg", "standing": "canceled"}
        else:
            account["units"] = min(account["units"], CAP) + INCLUDED

    def _send(self, call: Call) -> Reply:
        self.sent.append(call)
        body = json.loads(call.body or b"{}")
        if (call.method, call.path) == ("POST", "/v1/customers"):
            return answer(201, self._made(body))
        path = call.path.removeprefix("/v1/customers")
        account = self.accounts[int(path.split("/")[1]) - 1]
        self._change(account, f"{call.method} {path.partition('/')[2].partition('/')[2]}", call)
        return answer(200, account)

    def _made(self, body: dict[str, Any]) -> dict[str, Any]:
        account = {"id": str(len(self.accounts) + 1), "api_key": "k", "units": FREE, "cards": []}
        account |= {"plan": "trial", "status": "active", "standing": None, "cancel_at": None}
        self.accounts.append(account | {"period_end": None, **body})
        return self.accounts[-1]

    def _change(self, account: dict[str, Any], act: str, call: Call) -> None:
        body = json.loads(call.body or b"{}")
        match act:
            case "POST cards":
                account["units"] += 0 if account["cards"] else 1
                account["cards"].append({"id": f"card{next(self._ids)}", **body})
            case "POST usage":
                if account["units"]:
                    account["units"] -= 1
                else:
                    account["plan"] = "payg"
            case "PUT plan":
                account["plan"] = body["plan"]
            case "POST subscriptions":
                account |= {"plan": body["plan"], "standing": "active"}
                account |= {"period_end": self.clock + 100, "units": account["units"] + INCLUDED}
            case "DELETE ":
                self._cancel(account, at_period_end=call.query == (("at_period_end", "true"),))
            case str() if act.startswith("DELETE "):
                gone = act.removeprefix("DELETE ")
                account["cards"] = [card for card in account["cards"] if card["id"] != gone]

    def _cancel(self, account: dict[str, Any], *, at_period_end: bool) -> None:
        if at_period_end:
            account["cancel_at"] = account["period_end"]
        else:
            account |= {"plan": "payg", "standing": "canceled", "period_end": None}


def test_there_are_ten_states_whose_balances_follow_from_the_catalogue() -> None:
    """The reference's balances are those that its plans make; each state starts with signing up."""
    catalog = find_target("reference").file.profile.catalog
    due = {key: state.units_due(catalog) for key, state in STATES.items()}
    assert list(due.values()) == [5, 10, 0, 0, 60, 45, 60, 60, 60, 70]
    assert all(state.steps[0].do == "create_customer" for state in STATES.values())
    assert len({state.email for state in STATES.values()}) == 10


def test_every_state_is_reached_by_its_steps_and_read_back() -> None:
    """All ten are led to where they ought to be, and time is moved once for all of them."""
    service = Service()
    timeline: Any = service
    keys = list(STATES)
    found = reach_all([STATES[key] for key in keys], service.session, timeline)
    assert [reached.state.key for reached in found] == keys
    assert [differences(reached, service.session) for reached in found] == [[]] * len(keys)
    assert len(service.moved) == 1
    first = [account["name"] for account in service.accounts][:2]
    assert set(first) == {STATES["pro_past_due"].name, STATES["pro_rollover"].name}


def test_a_customer_gets_the_address_that_is_asked_for() -> None:
    """The address is the reception's to choose; otherwise it is new, and tells the state."""
    service, desk = Service(), Desk()
    reach(STATES["pro_active"], service.session, reception=desk)
    reach(STATES["trial"], service.session)
    first, second = (account["email"] for account in service.accounts)
    assert first == "pro-active@shop.test"
    assert second.startswith("trial-run-")
    assert desk.noted == [("pro_active", "1", None), ("pro_active", "1", "1")]


class Desk:
    """A reception that gives every state one address, and notes whom it got to know."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str, str | None]] = []

    def inputs(self, state: State) -> dict[str, str]:
        return {"email": f"{state.email}@shop.test"}

    def known(self, state: State, customer: Customer, subscription: str | None) -> None:
        self.noted.append((state.key, customer.id, subscription))


def test_a_step_is_for_targets_that_can_do_it() -> None:
    """Where nobody can ask for the plan, the first usage beyond the units leads there."""
    able, unable = Service(), Service("set_plan")
    for service in (able, unable):
        reached = reach(STATES["payg_active"], service.session)
        assert differences(reached, service.session) == []
    usages = [sum(c.path.endswith("/usage") for c in s.sent) for s in (able, unable)]
    assert usages == [3, 4]


def test_what_is_not_as_it_should_be_is_told() -> None:
    """A balance, a plan, a status and an end that differ are each told, once time has run out."""
    service = Service()
    reached = reach(STATES["pro_cancel_scheduled"], service.session)
    service.accounts[0] |= {"units": 1, "plan": "trial", "status": "closed", "cancel_at": None}
    told = "; ".join(differences(reached, service.session, wait=lambda _: None))
    assert "units is 1, where 8 is due" in told
    assert "plan is 'trial', where 'pro' is due" in told
    assert "status is 'closed', where 'active' is due" in told
    assert "the subscription's end is told as None" in told
    service.accounts[0] |= {"standing": "canceled"}
    told = "; ".join(differences(reached, service.session, wait=lambda _: None))
    assert "the subscription is 'canceled', where active is due" in told


def test_what_comes_late_is_waited_for() -> None:
    """A background job's work that is done while it is awaited is no difference."""
    service = Service()
    reached = reach(STATES["trial"], service.session)
    service.accounts[0]["units"] = 0
    late = lambda _: service.accounts[0].update(units=FREE)  # noqa: E731 - one act
    assert differences(Reached(STATES["trial"], reached.customer), service.session, wait=late) == []


@pytest.mark.parametrize(
    ("key", "lacking", "reason"),
    [
        ("pro_rollover", "", "by moving time"),
        ("trial_with_billing", "add_payment_method", "does not map add_payment_method"),
        ("pro_active", "subscribe", "does not map subscribe"),
    ],
)
def test_a_state_that_cannot_be_had_says_why(key: str, lacking: str, reason: str) -> None:
    """What a target cannot do is told before anything is sent."""
    service = Service(lacking)
    told = why_not(STATES[key], service.session.target, can_move_time=False)
    assert told is not None
    assert reason in told
    with pytest.raises(NotMapped, match=reason):
        reach(STATES[key], service.session)
    assert service.sent == []


def test_a_catalogue_without_the_plan_has_no_such_customer() -> None:
    """A state's plan, and every fact of its formulas, must be in the catalogue."""
    small = ProfileTarget(profile(OPERATIONS))
    told = why_not(STATES["pro_active"], small, can_move_time=True)
    assert told == "the catalogue has no plan that plays pro"


def test_a_target_that_keeps_no_units_has_none_of_the_states() -> None:
    """A state is a balance, too: where none is shown, nobody is led anywhere."""
    operations = {**OPERATIONS, "get_balance": {"request": "GET /{customer}"}}
    told = why_not(STATES["trial"], ProfileTarget(profile(operations)), can_move_time=True)
    assert told == "the target keeps no units: its get_balance shows none"


def test_every_mistake_of_the_file_is_told_at_once(tmp_path: Path) -> None:
    """An operation, a formula and a key that do not exist are told together, with their place."""
    file = tmp_path / "customers.toml"
    file.write_text(
        '[inputs]\n[states.odd]\nname = "Odd"\nemail = "odd"\nplan = "gold"\nunits = "1 +"\n'
        'steps = [{ do = "fly", often = 3 }]\n'
    )
    with pytest.raises(FixtureError) as caught:
        load_states(file)
    for place in ("odd.plan", "odd.units", "odd.steps.0.do", "odd.steps.0.often"):
        assert place in str(caught.value)
    file.write_text('[inputs]\n[states.a]\nafter = "b"\nsteps = []\n')
    with pytest.raises(FixtureError, match="b"):
        load_states(file)
    with pytest.raises(FixtureError, match="missing"):
        load_states(tmp_path / "missing.toml")
