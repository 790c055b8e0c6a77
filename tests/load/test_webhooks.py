"""The events of the webhook load: unique, truly signed as they go out, some forged."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest
import stripe

from harness import signing
from harness.target.wire import Reply
from suites.load.generator.posting import Connection
from suites.load.measuring.result import Result
from suites.load.plan import Plan
from suites.load.scenarios import Options, find_scenario
from suites.load.scenarios.webhooks import ACCEPTED, EVENTS, FORGED, REFUSED, Webhooks
from suites.load.schedule import Stage, count

if TYPE_CHECKING:
    from collections.abc import Collection

    from suites.load.generator.client import Client

SECRET = "whsec_load"


class Receiver:
    """A client whose receiver verifies as Stripe's own package does; `gullible` takes anything."""

    def __init__(self, *, gullible: bool = False) -> None:
        self.secrets = {"webhook": SECRET}
        self.connection = Connection("http://127.0.0.1:1", 1)
        self.events: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self._gullible = gullible

    def count(self, name: str) -> None:
        self.counts[name] += 1

    def post(self, request: bytes, kind: str, *, expect: Collection[int]) -> Reply:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert int(lines["Content-Length"]) == len(body)
        assert head.startswith(b"POST /hooks/stripe?source=1 HTTP/1.1\r\n")
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), lines["Stripe-Signature"], SECRET, tolerance=300
            )
            status = 200
        except stripe.SignatureVerificationError:
            status = 200 if self._gullible else 400
        assert self._gullible or status in expect, kind
        self.kinds[kind] += 1
        self.events.append(json.loads(body))
        return Reply(status)


def _send(receiver: Receiver, arrivals: range, **options: float) -> None:
    scenario = Webhooks()
    where = {"url": "http://127.0.0.1:1/hooks/stripe?source=1"}
    plan = Plan("webhooks", (Stage(1, 1),), "/x", where, 7, run_id="0a1b2c3d", options=options)
    scenario.ready(plan)
    for k in arrivals:
        scenario.arrive(k, cast("Client", receiver))


def test_every_event_is_unique_and_truly_signed() -> None:
    """Stripe's own package takes each; no two share an event, an object or an id of either."""
    receiver = Receiver()
    _send(receiver, range(400), bad_signatures=0.0)
    assert set(receiver.kinds) == set(EVENTS)
    ids = [event["id"] for event in receiver.events]
    ids += [event["data"]["object"]["id"] for event in receiver.events]
    assert len(set(ids)) == 800


def test_a_share_is_forged_and_refused() -> None:
    """One in twenty has a signature that a verifier refuses, in three ways, evenly spread."""
    receiver = Receiver()
    _send(receiver, range(1000), bad_signatures=0.05)
    assert receiver.kinds[FORGED] == receiver.counts[REFUSED] == pytest.approx(50, abs=3)
    assert receiver.counts[ACCEPTED] == 0


def test_a_receiver_that_takes_forged_events_is_found_out() -> None:
    """Each that was taken is counted, and the review says what a stranger could do."""
    receiver = Receiver(gullible=True)
    _send(receiver, range(100), bad_signatures=0.5)
    taken = receiver.counts[ACCEPTED]
    assert taken == pytest.approx(50, abs=3)
    (finding,) = Webhooks().review(None, Result("webhooks", counters={ACCEPTED: taken}))
    assert finding["verdict"] == "invalid"
    assert "a stranger could report payments" in finding["what"]
    assert Webhooks().review(None, Result("webhooks")) == []


def test_two_workers_events_are_unlike() -> None:
    """A worker's arrivals have numbers of their own, so two workers never send one event twice."""
    one, other = Receiver(), Receiver()
    _send(one, range(0, 100, 2), bad_signatures=0.0)
    _send(other, range(1, 100, 2), bad_signatures=0.0)
    ids = {event["id"] for event in one.events + other.events}
    assert len(ids) == 100


def test_a_signature_is_as_young_as_its_delivery() -> None:
    """Nothing is signed ahead: the header carries the second in which it was sent."""
    receiver = Receiver()
    heard: list[bytes] = []
    receiver.post = lambda request, _kind, **_: heard.append(request)  # type: ignore[method-assign,assignment]  # a test listens in
    before = int(time.time())
    _send(receiver, range(1), bad_signatures=0.0)
    signed_at = int(heard[0].partition(b"Stripe-Signature: t=")[2].partition(b",")[0])
    assert before <= signed_at <= time.time()
    assert signing.TOLERANCE_S == 300


def test_the_full_size_is_17_a_second_for_a_minute_and_then_50() -> None:
    """Without options the load has 2520 events; a rate or a duration makes it one stage."""
    assert count(Webhooks().shape(Options())) == 1020 + 1500
    assert Webhooks().shape(Options(rate=200.0, duration_s=3.0)) == (Stage(3.0, 200.0),)
    assert find_scenario("webhooks").name == "webhooks"
