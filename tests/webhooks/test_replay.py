"""`webhooks replay`: events from files, in their order, signed anew."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.history import Exchange, History, Record
from harness.redact import Redactor
from harness.target.protocol import Outcome
from harness.target.wire import Call, Reply
from simulators.webhooks.commands.catalogue import find_kind
from simulators.webhooks.commands.composing import compose
from simulators.webhooks.commands.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.target.protocol import Kind
    from tests.webhooks.conftest import Ran, Receiver

    Run = Callable[..., Ran]

NAMES = ("customer.created", "invoice.paid", "customer.deleted")
EVENTS: list[dict[str, Any]] = [
    compose(find_kind(n), Parameters(), 1_700_000_000)[0] for n in NAMES
]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(EVENTS),
        "\n".join(map(json.dumps, EVENTS)) + "\n\n",
        json.dumps({"object": "list", "data": EVENTS[::-1], "has_more": False}, indent=1),
    ],
    ids=["array", "lines", "stripe's list"],
)
def test_every_form_is_replayed_in_order(
    run: Run, receiver: Receiver, tmp_path: Path, text: str
) -> None:
    """A list, JSON lines and Stripe's newest-first list all go out oldest first, as they were."""
    file = tmp_path / "events.json"
    file.write_text(text)
    assert run("replay", file, "--to", receiver.url).status == 0
    assert receiver.events == EVENTS


def test_a_single_event_is_replayed_often(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    """One event is a file too, and --times repeats it with a signature of its own time."""
    file = tmp_path / "event.json"
    file.write_text(json.dumps(EVENTS[0], indent=2))
    assert run("replay", file, "--times", 2, "--to", receiver.url).status == 0
    assert receiver.events == [EVENTS[0]] * 2


def test_a_forged_replay_must_be_refused(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    """A captured event under an old timestamp, or with another id, is refused."""
    file = tmp_path / "event.json"
    file.write_text(json.dumps(EVENTS[0]))
    for forgery in (["--timestamp-offset", "-400"], ["--tamper"]):
        assert run("replay", file, *forgery, "--to", receiver.url).status == 0
    assert (receiver.types, receiver.refused) == ([], 2)


def _recorded(body: bytes, kind: Kind, number: int) -> Record:
    call = Call("POST", "/hook", (), (("Stripe-Signature", "t=1,v1=00"),), body)
    exchange = Exchange(call, Reply(200), 0.0, 1.0)
    return Record(
        id=f"main-{number}",
        test="t",
        operation="receive_webhook",
        role="anonymous",
        customer=None,
        inputs={},
        began_at=float(number),
        ended_at=number + 0.5,
        outcome=Outcome(kind),
        exchanges=(exchange,),
    )


def test_a_history_gives_back_what_was_not_refused(
    run: Run, receiver: Receiver, tmp_path: Path
) -> None:
    """Webhooks of a run go out byte for byte; what the target refused had been forged."""
    file = tmp_path / "history.jsonl"
    sink = io.StringIO()
    history = History(sink, Redactor())
    bodies = [json.dumps(event, separators=(",", ":")).encode() for event in EVENTS]
    kinds: list[Kind] = ["ok", "refused", "unknown"]
    for number, (body, kind) in enumerate(zip(bodies, kinds, strict=True), start=1):
        record = _recorded(body, kind, number)
        history.begin(record)
        history.end(record)
    file.write_text(sink.getvalue())
    ran = run("replay", file, "--to", receiver.url)
    assert (ran.status, receiver.bodies) == (0, [bodies[0], bodies[2]])
    assert "1 left out" in ran.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no events"),
        (b"[]", "no events"),
        (b"not json", "line 1 is no JSON"),
        (b'{"id": "evt_1"}\n{"id": ', "line 2 is no JSON"),
        (b'[{"id": "evt_1", "type": "a", "data": {}}]', "entry 1 is no event"),
        (b"[1]", "entry 1 is no event"),
        (b'{"line": "run"}\n{"line": "end", "id": 1}\n', "not told whole"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"object": "list", "data": 5}', "entry 1 is no event"),
    ],
)
def test_a_file_without_events_is_refused(
    run: Run, receiver: Receiver, tmp_path: Path, content: bytes, told: str
) -> None:
    """What cannot be read is told with its place, and nothing is sent."""
    file = tmp_path / "events.json"
    file.write_bytes(content)
    ran = run("replay", file, "--to", receiver.url)
    assert (ran.status, receiver.headers) == (2, [])
    assert told in ran.err


def test_a_file_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    """A missing file is told in a sentence."""
    ran = run("replay", tmp_path / "none.json", "--to", "http://127.0.0.1:1/")
    assert ran.status == 2
    assert "cannot be read" in ran.err
