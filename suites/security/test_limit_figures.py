"""What a service says of its limits is what it enforces, at a window's edge and for webhooks too.

The figures are those of the customary `X-RateLimit-*` fields and of the IETF's draft
(draft-ietf-httpapi-ratelimit-headers).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from harness import signing
from harness.target.wire import Reply
from suites.security.allowances import HOUR_S, TOO_MANY, limit_of, requests_of
from suites.security.tenants import stranger
from suites.security.wire import Answer, Wire, request_bytes

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.session import Session
    from harness.timeline import Timeline
    from suites.security.allowances import Limited

pytestmark = [
    pytest.mark.requires("create_customer"),
    pytest.mark.requirement("BH-9", "API4:2023", "CWE-770"),
    pytest.mark.group("limits"),
]
IN_A_ROW = 50
EDGE_S = 120


def _figures(reply: Reply) -> tuple[int, int] | None:
    """Give the limit and what is left of it, as an answer tells them."""
    limit, left = (reply.header(f"X-RateLimit-{name}") for name in ("Limit", "Remaining"))
    if limit and left:
        return int(limit), int(left)
    policy = re.search(r"q=(\d+)", reply.header("RateLimit-Policy") or "")
    now = re.search(r"r=(\d+)", reply.header("RateLimit") or "")
    return (int(policy[1]), int(now[1])) if policy and now else None


@pytest.mark.requirement("BH-10")
def test_an_answer_tells_the_limit_that_is_enforced(billing: Session) -> None:
    """The limit told is the profile's, and what remains falls by one with each request."""
    limit = limit_of(billing, "api_per_hour")
    requests = requests_of(billing, stranger(billing))
    told = []
    for _ in range(4):
        assert requests.status() < TOO_MANY
        reply = billing.last_reply
        told.append(_figures(reply) if isinstance(reply, Reply) else None)
    if not any(told):
        pytest.skip("an answer tells no limit, neither as X-RateLimit nor as RateLimit")
    left = [figures[1] for figures in told if figures]
    assert {figures[0] for figures in told if figures} == {limit}, f"{told} is told of {limit}"
    assert left == list(range(left[0], left[0] - len(told), -1)), (
        f"the headers say that {left} requests remain, where each leaves one fewer than the last"
    )
    assert left[0] < limit, f"{left[0]} of {limit} remain after a request"


@pytest.mark.requires("advance_time")
@pytest.mark.requirement("CWE-799", "ASVS 5.0 V2.4.1")
def test_a_windows_edge_doubles_no_allowance(clock: Timeline, wrong_keys: Limited) -> None:
    """Two allowances, one before the hour strikes and one after, are not to be had."""
    clock.advance_to((clock.now() // HOUR_S + 2) * HOUR_S - EDGE_S)
    wrong_keys.exhaust()
    clock.advance(hours=2 * EDGE_S / HOUR_S)
    status = wrong_keys.status()
    assert status == TOO_MANY, (
        f"whoever waits for the full hour has the limit {wrong_keys.limit} twice in minutes:"
        f" answered {status}"
    )


@pytest.mark.requires("create_customer", webhooks=True)
@pytest.mark.requirement("BH-5", "CWE-799", "API10:2023", "RFC 6585")
def test_forged_webhooks_are_held_off_and_right_ones_are_not(
    billing: Session, ground: Ground, address: str | None
) -> None:
    """An address that sends too many forged events is refused, and a right one is still taken."""
    limit = limit_of(billing, "unverified_webhooks_per_hour")
    if address is None or ground.target.profile.webhooks is None:
        pytest.skip("forged events would lock out the address that every other test comes from")
    secret, path = ground.webhook_secret or "", ground.target.profile.webhooks.path
    now = int(time.time())

    def event(forged: bool) -> bytes:  # noqa: FBT001 - read as a sentence
        body = b'{"id":"%s","object":"event","type":"test.ping","data":{"object":{"id":"x"}}}'
        body %= billing.names.new("evt").encode()
        sign = signing.wrong_secret if forged else signing.header
        headers = {"Stripe-Signature": sign(body, secret, now), "Content-Type": "application/json"}
        return request_bytes("POST", path, "harness.example", headers, body)

    with Wire(ground.target.profile.target.base_url, address) as wire:
        one, answers = event(forged=True), list[Answer]()
        for begun in range(0, limit, IN_A_ROW):
            count = min(IN_A_ROW, limit - begun)
            wire.begin(one * count)
            answers += [wire.answer() for _ in range(count)]
        passed = sum(answer.status != TOO_MANY for answer in answers)
        assert passed == limit, f"of {limit} forged events, as many as may come, {passed} passed"
        more = wire.ask(one)
        assert more.status == TOO_MANY, (
            f"whoever forges events is never held off: after {limit}, as many as the profile"
            f" states for an hour, one more is answered {more.status} and not {TOO_MANY}"
        )
        assert "retry-after:" in more.head.lower(), "a 429 does not say when to come back"
        right = wire.ask(event(forged=False))
    assert 200 <= right.status < 300, (
        f"somebody's forged events keep Stripe's own from being taken: answered {right.status}"
    )
