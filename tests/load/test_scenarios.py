"""Scenarios ask for what they say, and their verdicts tell of what is wrong with a target.

What needs a service under a load that lasts is for the night (`-m nightly`): a machine that runs
other tests beside it measures nothing, so figures of time are only held there where they prove one.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import SettingsError, TargetError
from harness.session import Customer
from harness.target.wire import Reply
from suites.load.ground import Unwatched, patiently
from suites.load.measuring.result import Result
from suites.load.scenarios import SCENARIOS, Options, crowd, find_scenario
from suites.load.scenarios.base import draw
from suites.load.scenarios.breakpoint import search
from suites.load.scenarios.rate_limit import RateLimit
from suites.load.scenarios.soak import Soak, quarters
from suites.load.scenarios.usage import Usage
from suites.load.schedule import count, duration_s

# what is asked for


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_keeps_to_its_options(name: str) -> None:
    """Rate and duration are the user's, in both models, and scaling shortens the load."""
    scenario: Any = find_scenario(name)
    scenario.limit = 500
    asked = scenario.shape(Options(rate=4.0, duration_s=30.0))
    assert duration_s(asked) == pytest.approx(30.0)
    assert max(max(stage.rate, stage.end) for stage in asked) == 4.0
    users = find_scenario(name).shape(Options("closed", duration_s=30.0, users=3))
    assert max(max(stage.rate, stage.end) for stage in users) in {1.0, 3.0}
    assert scenario.help
    with pytest.raises(SettingsError, match="no option"):
        find_scenario(name).shape(Options(extra={"nothing": 1}))


def test_signup_ramps_to_20_50_and_100_users() -> None:
    """Users come in three steps, stay, and go; in the open model each signs up every 5 s."""
    scenario = find_scenario("signup")
    users = [stage.end for stage in scenario.shape(Options("closed"))]
    assert users == [20, 20, 50, 50, 100, 100, 0]
    rates = [stage.end for stage in scenario.shape(Options())]
    assert rates == [each / 5 for each in users]


def test_the_rate_limit_is_passed_by_fifty() -> None:
    """However it is scaled, the limit and fifty more are sent, one after the other."""
    for scale in (1.0, 0.5, 0.1):
        scenario = RateLimit()
        scenario.limit = 500
        stages = scenario.resized(scenario.shape(Options()), scale)
        assert count(stages) == 550
    assert RateLimit.connections == 1


@pytest.mark.parametrize(("subscriptions", "lasts_s"), [(10_000, 1000), (1000, 100), (50, 60)])
def test_balances_are_read_for_as_long_as_a_storm_may_take(
    subscriptions: int, lasts_s: float
) -> None:
    """The larger the storm, the longer customers go on reading."""
    asked = find_scenario("renewal-storm").shape(Options(extra={"subscriptions": subscriptions}))
    assert duration_s(asked) == lasts_s


def test_shares_of_usage_are_kept() -> None:
    """Drawn by number, arrivals fall into their shares, the same in every worker."""
    drawn = [draw(k) for k in range(1000)]
    for share in (0.05, 0.2, 0.5):
        assert sum(place < share for place in drawn) == pytest.approx(1000 * share, abs=3)


def test_thresholds_are_of_what_is_sent() -> None:
    """A kind of which no arrival comes has no threshold that could never be judged."""
    usage = Usage()
    usage.shape(Options(extra={"summaries": 1.0, "charges": 0.0}))
    assert usage.thresholds() == ("kind:summary.latency_ms.p95<50", "errors.ratio<0.01")


@pytest.mark.parametrize("limit", [3.0, 10.0, 25.0, 47.0, 99.0, 2000.0])
def test_the_breaking_point_is_found_near(limit: float) -> None:
    """Doubling and halving come within the precision, below what breaks; or to the highest."""
    tried: list[float] = []

    def attempt(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    held = search(4.0, 1000.0, 0.15, attempt)
    if limit < 4:
        assert held is None
    elif limit > 1000:
        assert held == 1000.0
    else:
        assert held is not None
        assert held <= limit <= held * 1.2
    assert len(tried) <= 14


def test_a_rate_that_cannot_be_told_ends_the_search() -> None:
    """A void or interrupted load is neither held nor broken: the last that held is the answer."""
    assert search(4.0, 1000.0, 0.1, lambda rate: True if rate < 16 else None) == 8.0


def test_a_soak_that_slows_down_is_told() -> None:
    """The last quarter's latency is held against the first's, as a threshold of its own."""
    soak = Soak()
    series = [{"t": float(t), "completed": 5, "p99": 10.0 + 10 * t} for t in range(40)]
    result = Result("soak", series=series, partial=False)
    assert quarters(series) == (55.0, 355.0)
    soak.review(None, result)  # type: ignore[arg-type]  # this scenario asks the ground nothing
    assert result.exit_status == 99
    steady = [{**interval, "p99": 10.0} for interval in series]
    result = Result("soak", series=steady, partial=False)
    soak.review(None, result)  # type: ignore[arg-type]  # the same
    assert result.exit_status == 0


def test_a_limit_that_is_not_said_cannot_be_tried() -> None:
    """Without [limits] the rate-limit scenario ends before anything is sent, with the reason."""
    unlimited = SimpleNamespace(profile=SimpleNamespace(limits={}))
    ground: Any = SimpleNamespace(target=unlimited)
    with pytest.raises(TargetError, match="states none"):
        RateLimit().meet(ground)


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        ({"limit_passed": 510, "limit_refused": 40}, "where 500 may"),
        ({"limit_passed": 490, "limit_refused_early": 10, "limit_refused": 60}, "before the 500"),
        ({"limit_passed": 480, "limit_refused": 70}, "before the 500"),
        ({"limit_passed": 400}, "was not reached"),
    ],
)
def test_a_limit_elsewhere_is_found(counters: dict[str, int], words: str) -> None:
    """More or fewer than the limit's requests are a breach; too few tried, a doubt."""
    limit = RateLimit()
    limit.limit = 500

    session = SimpleNamespace(perform=lambda *_, **__: None, last_reply=None)
    ground: Any = SimpleNamespace(aside=lambda _: session)
    found = limit.review(ground, Result("rate-limit", scheduled=550, counters=counters))
    assert any(words in each["what"] for each in found), found


def test_requests_without_an_answer_are_held_against_nobody() -> None:
    """With 20 answers lost, 480 passed may have been 500."""
    limit = RateLimit()
    limit.limit = 500
    session = SimpleNamespace(perform=lambda *_, **__: None, last_reply=None)
    ground: Any = SimpleNamespace(aside=lambda _: session)
    counters = {"limit_passed": 480, "limit_refused": 50}
    assert limit.review(ground, Result("rate-limit", scheduled=550, counters=counters)) == []


class _Limited:
    """A client of a service that allows 8, and tells of so many more left than there are."""

    def __init__(self, wrong: int, workers: int = 1) -> None:
        self.workers = workers
        self.data = {"limit": 8, "customers": [{"id": "c", "provider_customer": None}]}
        self.failed: list[str] = []
        self.last_reply: Reply | None = None
        self._heard, self._wrong = 0, wrong

    def customer(self, *_: object) -> None: ...

    def count(self, _: str) -> None: ...

    def fail(self, reason: str) -> None:
        self.failed.append(reason)

    def perform(self, *_: object, **__: object) -> None:
        self._heard += 1
        left = max(0, 8 - self._heard) + self._wrong
        headers = (("X-RateLimit-Limit", "8"), ("X-RateLimit-Remaining", str(left)))
        self.last_reply = Reply(200, headers)


@pytest.mark.parametrize(("wrong", "failed"), [(0, 0), (1, 6)])
def test_arrivals_that_were_dropped_are_no_wrong_headers(wrong: int, failed: int) -> None:
    """What remains is held against the requests that the service can have counted."""
    client: Any = _Limited(wrong)
    scenario = RateLimit()
    for k in (0, 1, 2, 5, 6, 7):
        scenario.arrive(k, client)
    assert len(client.failed) == failed


def test_what_another_worker_sent_before_is_no_wrong_header() -> None:
    """Of two workers, the one that is ahead is told of fewer left than its own numbers say."""
    alone: Any = _Limited(0)
    shared: Any = _Limited(0, workers=2)
    for client in (alone, shared):
        scenario = RateLimit()
        for k in (1, 3, 5):
            client.perform()  # by the other one, whose numbers are later
            client.perform()
            scenario.arrive(k - 1, client)
    assert alone.failed
    assert not shared.failed


def test_preparing_tells_how_far_it_has_come() -> None:
    """Each customer that a load needs is told of as made, in the order in which they were asked."""
    told: list[tuple[str, int, int]] = []
    watcher = SimpleNamespace(progress=lambda *what: told.append(what))
    ground: Any = SimpleNamespace(watcher=watcher, session=lambda name: name)
    made = crowd.many(ground, 3, lambda session: session)
    assert len(set(made)) == 3
    assert told == [("preparing", done, 3) for done in (1, 2, 3)]


def test_one_customer_never_stands_for_two() -> None:
    """Where sign-ups were given the same customer, no load is planned on them."""
    ada, grace = Customer("cust_ada", None, None), Customer("cust_grace", None, None)
    assert [each["id"] for each in crowd.ids([ada, grace])] == ["cust_ada", "cust_grace"]
    with pytest.raises(TargetError, match="3 sign-ups made 2 customers"):
        crowd.ids([ada, grace, ada])


def test_who_waits_long_is_told_for_how_long() -> None:
    """What takes its time without a measure of it is said at once, and again now and then."""
    said: list[str] = []
    reminded = threading.Event()

    class Reader(Unwatched):
        def say(self, line: str) -> None:
            said.append(line)
            if len(said) > 2:
                reminded.set()

    with patiently(Reader(), "waiting …", every_s=0.005):
        assert reminded.wait(20)
    assert said[:3] == ["waiting …", "… 0.005 s so far", "… 0.01 s so far"]
    assert not any(thread.name == "reminder" for thread in threading.enumerate())
