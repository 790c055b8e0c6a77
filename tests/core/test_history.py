from __future__ import annotations

import base64
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HistoryError
from harness.history import Exchange, History, Record, read_histories
from harness.redact import Redactor
from harness.target.protocol import Outcome, refused, unknown
from harness.target.wire import Call, NoReply, Reply

KEY = "key-of-a-customer"
LATIN = st.text(st.characters(max_codepoint=255), max_size=8)
PAIRS = st.lists(st.tuples(LATIN.map(lambda text: f"X-{text}"), LATIN), max_size=3).map(tuple)
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
TIMES = st.floats(0, 2**33)
CALLS = st.builds(Call, st.text(max_size=5), st.text(), PAIRS, PAIRS, st.binary(max_size=40))
REPLIES = st.builds(Reply, st.integers(100, 599), PAIRS, st.binary(max_size=40)) | st.builds(
    NoReply, st.sampled_from(["timeout", "reset"]), st.booleans(), st.text(max_size=8)
)
EXCHANGES = st.builds(Exchange, CALLS, REPLIES, TIMES, TIMES.map(lambda value: round(value, 3)))
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(["ok", "accepted", "refused", "unknown"]),
    st.dictionaries(st.text(max_size=5), PLAIN | st.lists(PLAIN, max_size=2), max_size=3),
    st.none() | st.text(max_size=5),
    st.none() | st.text(max_size=5),
)


def _record(number: int, **fields: Any) -> Record:
    given_fields: dict[str, Any] = {
        "id": f"main-{number}",
        "test": "a test",
        "operation": "get_balance",
        "role": "customer",
        "customer": "c1",
        "inputs": {"customer": "c1"},
        "began_at": float(number),
        "ended_at": number + 0.5,
        "outcome": Outcome("ok"),
    }
    return Record(**(given_fields | fields))


def _written(records: list[Record], redactor: Redactor | None = None) -> str:
    file = io.StringIO()
    history = History(file, redactor or Redactor(), facts={"seed": 7})
    for record in records:
        history.begin(record)
        history.end(record)
    return file.getvalue()


def _read(content: str | bytes) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_histories([path])


@given(st.data())
def test_a_history_is_read_as_it_was_written(data: st.DataObject) -> None:
    """Calls, replies and bodies of any bytes come back the same, and so do outcomes and inputs."""
    records = [
        _record(
            number,
            inputs=data.draw(st.dictionaries(st.text(max_size=5), PLAIN, max_size=3)),
            outcome=data.draw(OUTCOMES),
            exchanges=tuple(data.draw(st.lists(EXCHANGES, max_size=2))),
            customer=data.draw(st.none() | st.text(max_size=5)),
        )
        for number in range(data.draw(st.integers(0, 3)))
    ]
    assert _read(_written(records)) == records


WHOLE = _written([_record(number, outcome=refused("no")) for number in range(3)])


@given(st.integers(0, len(WHOLE)))
def test_a_history_that_was_cut_off_is_read_up_to_there(length: int) -> None:
    """A killed process leaves half a line: what had ended is kept, what had begun is unknown."""
    lines = WHOLE[:length].split("\n")
    whole = [line for line in lines if line.endswith("}") and _is_json(line)]
    begun = [line for line in whole if '"line":"begin"' in line]
    ended = [line for line in whole if '"line":"end"' in line]
    records = _read(WHOLE[:length])
    assert [record.id for record in records] == [f"main-{number}" for number in range(len(begun))]
    assert [record.outcome.kind for record in records] == ["refused"] * len(ended) + ["unknown"] * (
        len(begun) - len(ended)
    )


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("place", [0, 1, 2, 5])
@pytest.mark.parametrize(
    "line",
    ["{", "5", "[]", "null", "{}", '"begin"', '{"line":"end"}', '{"line":"end","id":"x"}', "\0"],
)
def test_any_other_damage_is_an_error(place: int, line: str) -> None:
    """A damaged line before the last, or a whole one without sense, is told with its place."""
    lines = WHOLE.splitlines()
    lines[place : place + 1] = [line]
    with pytest.raises(HistoryError, match=r"history\.jsonl: "):
        _read("\n".join([*lines, ""]))


def test_what_is_no_text_and_what_is_not_there_are_errors(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 and a file that is missing are told by the file's name."""
    with pytest.raises(HistoryError, match=r"history\.jsonl"):
        _read(WHOLE.encode().replace(b"main", b"ma\xffn", 1))
    with pytest.raises(HistoryError, match=r"gone\.jsonl"):
        read_histories([tmp_path / "gone.jsonl"])


def test_histories_of_workers_become_one(tmp_path: Path) -> None:
    """Several histories are read in the order in which operations began."""
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, numbers in zip(paths, [(1, 4), (2, 3)], strict=True):
        path.write_text(_written([_record(number) for number in numbers]))
    assert [record.began_at for record in read_histories(paths)] == [1, 2, 3, 4]


def test_an_operation_that_never_ended_is_unknown() -> None:
    """A begin without an end was cut off."""
    file = io.StringIO()
    History(file, Redactor()).begin(_record(1))
    (record,) = _read(file.getvalue())
    assert (record.outcome, record.exchanges) == (unknown("it was cut off"), ())


@settings(max_examples=50)
@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_secret_reaches_the_file(before: bytes, after: bytes) -> None:
    """A known secret is kept out of bodies of any bytes, headers, queries, inputs and outputs."""
    body = before + KEY.encode() + after
    exchange = Exchange(
        Call("POST", f"/{KEY}", (("key", KEY),), (("X-Odd", KEY),), body),
        Reply(200, (("X-Echo", f"<{KEY}>"),), body),
        1.0,
        2.0,
    )
    outcome = Outcome("ok", {"credential": KEY, "body": body}, KEY, f"because of {KEY}")
    record = _record(1, inputs={"payload": body, KEY: KEY}, outcome=outcome, exchanges=(exchange,))
    text = _written([record], Redactor(frozenset({KEY})))
    assert KEY not in text
    assert not _packed([json.loads(line) for line in text.splitlines()])


def _packed(data: Any) -> list[bytes]:
    """Give every base64 in nested data that holds the key."""
    if isinstance(data, dict):
        own = [base64.b64decode(data["base64"])] if "base64" in data else []
        found = [text for text in own if KEY.encode() in text]
        return found + [text for entry in data.values() for text in _packed(entry)]
    return [text for entry in data for text in _packed(entry)] if isinstance(data, list) else []


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-API-Key"],
)
def test_headers_that_identify_somebody_are_left_blank(name: str) -> None:
    """The value of such a header is never written, known as a secret or not."""
    pairs = ((name, "Bearer nobody-knew-this"), ("X-Other", "shown"))
    exchange = Exchange(Call("GET", "/", (), pairs), Reply(200, pairs), 1.0, 1.0)
    text = _written([_record(1, exchanges=(exchange,))])
    assert "nobody-knew-this" not in text
    assert text.count("shown") == 2


def test_each_line_is_there_as_soon_as_it_is_written() -> None:
    """Lines are flushed one by one, and say whose they are."""
    flushed: list[str] = []

    class File(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    history = History(File(), Redactor(), worker="gw1", facts={"seed": 7})
    history.begin(_record(1))
    history.end(_record(1))
    assert [text.count("\n") for text in flushed] == [1, 2, 3]
    assert json.loads(flushed[0]) == {"line": "run", "format": 1, "worker": "gw1", "seed": 7}
    assert history.next_id() == "gw1-1"
    assert [record.id for record in history.records] == ["main-1"]
