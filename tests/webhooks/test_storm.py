"""`webhooks storm`: a steady rate, unique events, and honest figures."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from simulators.webhooks.commands.storm import percentile
from tests.webhooks.processes import command, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.webhooks.conftest import Ran, Receiver

    Run = Callable[..., Ran]


def test_a_storm_sends_unique_events_and_counts_them(run: Run, receiver: Receiver) -> None:
    """Every event is verified, none comes twice, and the figures agree with the receiver."""
    storm = ("storm", "charge.succeeded", "--rate", 60, "--duration", 1, "--to", receiver.url)
    ran = run(*storm, "--amount-cents", 700, "--currency", "jpy", "--json")
    facts = ran.json
    assert ran.status == 0
    assert facts["sent"] == facts["counts"]["accepted"] == len(receiver.bodies) == 60
    assert len({event["id"] for event in receiver.events}) == 60
    assert {
        (e["data"]["object"]["amount"], e["data"]["object"]["currency"]) for e in receiver.events
    } == {(700, "jpy")}
    latency = facts["latency_ms"]
    assert latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert facts["answers"] == {"200": 60}


@pytest.mark.parametrize(
    ("answer", "status", "outcome"), [(429, 1, "refused"), (503, 2, "unknown")]
)
def test_refused_and_unknown_are_told_apart(
    run: Run, receiver: Receiver, answer: int, status: int, outcome: str
) -> None:
    """A 4xx counts as refused, a 5xx as unknown, each under its own status."""
    receiver.status = answer
    ran = run("storm", "--rate", 20, "--duration", 0.2, "--to", receiver.url, "--json")
    assert (ran.status, ran.json["counts"][outcome]) == (status, 4)
    assert ran.json["answers"] == {str(answer): 4}


def test_timeouts_are_unknown_and_what_never_left_is_said(run: Run, receiver: Receiver) -> None:
    """With a hanging receiver and one at a time, the rest never leaves: the storm ends anyway."""
    receiver.hold = threading.Event()
    ran = run(
        *("storm", "--rate", 20, "--duration", 0.3, "--concurrency", 1, "--timeout", 0.2),
        *("--to", receiver.url, "--json"),
    )
    facts = ran.json
    assert ran.status == 2
    assert facts["counts"]["unknown"] == facts["sent"] >= 1
    assert facts["sent"] + facts["unsent"] == facts["due"] == 6
    assert facts["unsent"] >= 1
    assert facts["latency_ms"] == {}
    assert set(facts["answers"]) == {"timeout"}


def test_a_storm_is_told_to_people(run: Run, receiver: Receiver) -> None:
    """People read counts, answers and percentiles."""
    ran = run("storm", "--rate", 10, "--duration", 0.3, "--to", receiver.url)
    assert "3 accepted, 0 refused, 0 unknown" in ran.out
    assert "answers: 200 (3)" in ran.out
    assert "p99" in ran.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "501"], "up to 500"),
        (["--rate", "0"], "--rate 0"),
        (["--duration", "601"], "up to 600"),
        (["--rate", "nan"], "--rate nan"),
        (["--concurrency", "0"], "--concurrency 0"),
        (["customer.created", "--amount-cents", "5"], "does not take"),
        (["no.such"], "no event"),
    ],
)
def test_a_storm_without_bounds_is_refused(
    run: Run, receiver: Receiver, arguments: list[str], told: str
) -> None:
    """Rate, duration and crowd have caps, and nothing is sent beyond them."""
    ran = run("storm", *arguments, "--to", receiver.url)
    assert (ran.status, receiver.headers) == (2, [])
    assert told in ran.err


def test_ctrl_c_ends_a_storm_with_what_was_done(receiver: Receiver) -> None:
    """Interrupted, it tells its figures so far and exits with 130."""
    arguments = ("storm", "--rate", 20, "--duration", 60, "--to", receiver.url, "--json")
    with command(*arguments) as process:
        first_line(process.stderr)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130
    assert '"interrupted": true' in out
    assert f'"sent": {len(receiver.bodies)}' in out


def test_percentiles_are_of_what_was_measured() -> None:
    """The nearest rank is one of the values, also of few."""
    assert [percentile([5.0], percent) for percent in (0, 50, 99)] == [5.0, 5.0, 5.0]
    assert percentile([float(n) for n in range(1, 201)], 99) == 198.0
