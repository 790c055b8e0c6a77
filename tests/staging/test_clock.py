"""A test clock of Stripe's: what Stripe refuses is told, with the next step."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from harness.errors import StagingError, Unknown
from harness.staging.clock import TestClock


def clock(
    monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, Any]
) -> tuple[TestClock, list[str]]:
    """Give a clock at a Stripe that answers so, one after the other, and what it is asked."""
    asked: list[str] = []
    left = list(answers)

    def request(_: httpx.Client, method: str, url: str, **__: object) -> httpx.Response:
        asked.append(f"{method} {url.removeprefix('https://stripe.test/v1/test_helpers')}")
        status, body = left.pop(0)
        return httpx.Response(status, json=body)

    monkeypatch.setattr(httpx.Client, "request", request)
    made = TestClock("https://stripe.test/", "sk_test_x", "ours", lambda: asked.append("settle"))
    made.id = "clock_1"
    return made, asked


@pytest.mark.parametrize(
    ("status", "told", "hint"),
    [
        (401, "may not use test clocks: HTTP 401", "stripe_key_env"),
        (403, "may not use test clocks: HTTP 403", "the right to write test clocks"),
        (400, "frozen_time is in the past", "run the same again"),
    ],
)
def test_a_key_without_rights_is_told(
    monkeypatch: pytest.MonkeyPatch, status: int, told: str, hint: str
) -> None:
    """Whoever gives a key that may not is told which key, and what it needs."""
    error = {"error": {"message": "frozen_time is in the past"}}
    made, _ = clock(monkeypatch, (status, error))
    with pytest.raises(StagingError, match=told) as caught:
        made.start(1)
    assert hint in (caught.value.hint or "")
    assert "sk_test_x" not in str(caught.value)


def test_it_is_waited_for_until_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moving is asynchronous; once Stripe is done the target may follow."""
    states = [(200, {"status": name}) for name in ("advancing", "advancing", "ready")]
    made, asked = clock(monkeypatch, (200, {}), *states)
    assert made.advance_to(5) == 5
    assert asked == [
        "POST /test_clocks/clock_1/advance",
        *["GET /test_clocks/clock_1"] * 3,
        "settle",
    ]
    made, _ = clock(monkeypatch, (200, {}), (200, {"status": "internal_failure"}))
    with pytest.raises(Unknown, match="could not move"):
        made.advance_to(5)


def test_all_of_its_name_are_removed_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page; somebody else's clocks stay."""
    first = {"data": [{"id": "c1", "name": "ours"}, {"id": "c2", "name": "x"}], "has_more": True}
    second = {"data": [{"id": "c3", "name": "ours"}], "has_more": False}
    made, asked = clock(monkeypatch, (200, first), (200, second), (200, {}), (200, {}))
    assert made.remove_all() == 2
    assert asked[2:] == ["DELETE /test_clocks/c1", "DELETE /test_clocks/c3"]
