"""The ordered record of a run: operations, calls, replies and outcomes, as JSON lines.

An operation is written twice: when it begins (`"line": "begin"`) and when it ends (`"line":
"end"`, with its calls and outcome). One that began and never ended was cut off, so its outcome is
unknown. The first line (`"line": "run"`) says whose history it is. `docs/HISTORY.md` has every key.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from harness.errors import HistoryError
from harness.target.protocol import Outcome, unknown
from harness.target.wire import Call, NoReply, Pairs, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from harness.redact import Redactor

    Clean = Callable[[bytes], bytes]

_IDENTIFYING = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"}
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and what came back; `at` is Unix time of the call."""

    call: Call
    reply: Reply | NoReply
    at: float
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class Record:
    """One operation as the client saw it. Times are Unix seconds of the client's wall clock."""

    id: str
    test: str
    operation: str
    role: str
    customer: str | None
    inputs: Mapping[str, Any]
    began_at: float
    ended_at: float | None = None
    outcome: Outcome = field(default_factory=lambda: unknown("it was cut off"))
    exchanges: tuple[Exchange, ...] = ()


class History:
    """Writes a history, a line at a time, so that nothing is lost when the process dies.

    `worker` sets the ids of parallel processes apart. Thread-safe. Without `file` it only
    remembers; a long load that does not `remember` only writes.
    """

    def __init__(
        self,
        file: TextIO | None,
        redactor: Redactor,
        *,
        worker: str = "main",
        facts: Mapping[str, Any] | None = None,
        remember: bool = True,
    ) -> None:
        self._file = file
        self._remember = remember
        self._redactor = redactor
        self._worker = worker
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._records: list[Record] = []
        self._write({"line": "run", "format": 1, "worker": worker, **(facts or {})})

    @property
    def records(self) -> tuple[Record, ...]:
        """Every operation that has ended, in that order."""
        return tuple(self._records)

    def next_id(self) -> str:
        """Give an id for the next operation."""
        return f"{self._worker}-{next(self._numbers)}"

    def begin(self, record: Record) -> None:
        """Write that an operation begins."""
        self._write({"line": "begin", **_opening(record, self._redactor.raw)})

    def end(self, record: Record) -> None:
        """Write what came of it, and remember it."""
        if self._remember:
            with self._lock:
                self._records.append(record)
        self._write({"line": "end", "id": record.id, **_closing(record, self._redactor.raw)})

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        text = json.dumps(self._redactor.data(line), default=str, separators=(",", ":"))
        with self._lock:
            self._file.write(text + "\n")
            self._file.flush()


def _opening(record: Record, clean: Clean) -> dict[str, Any]:
    return {
        "id": record.id,
        "test": record.test,
        "operation": record.operation,
        "role": record.role,
        "customer": record.customer,
        "inputs": {name: _plain(value, clean) for name, value in record.inputs.items()},
        "began_at": record.began_at,
    }


def _closing(record: Record, clean: Clean) -> dict[str, Any]:
    outcome = record.outcome
    return {
        "customer": record.customer,
        "ended_at": record.ended_at,
        "outcome": {
            "kind": outcome.kind,
            "outputs": {name: _plain(value, clean) for name, value in outcome.outputs.items()},
            "code": outcome.code,
            "reason": outcome.reason,
        },
        "exchanges": [exchange_data(exchange, clean) for exchange in record.exchanges],
    }


def exchange_data(exchange: Exchange, clean: Clean = bytes) -> dict[str, Any]:
    """Give a call and its reply as plain data; headers that identify somebody are left blank.

    `clean` takes secrets out of bodies: in one that is no text, nobody would find them later.
    """
    call, reply = exchange.call, exchange.reply
    if isinstance(reply, Reply):
        answer: dict[str, Any] = {
            "status": reply.status,
            "headers": _headers(reply.headers),
            "body": _plain(reply.body, clean),
        }
    else:
        answer = {"no_reply": reply.reason, "sent": reply.sent, "detail": reply.detail}
    return {
        "call": {
            "method": call.method,
            "path": call.path,
            "query": [list(pair) for pair in call.query],
            "headers": _headers(call.headers),
            "body": _plain(call.body, clean),
        },
        "reply": answer,
        "at": exchange.at,
        "elapsed_ms": round(exchange.elapsed_ms, 3),
    }


def _headers(headers: Pairs) -> list[list[str]]:
    return [
        [name, "[secret]" if name.lower() in _IDENTIFYING else value] for name, value in headers
    ]


def _plain(value: Any, clean: Clean) -> Any:
    """Write bytes as text where they are UTF-8, else as base64 under a key that says so."""
    if isinstance(value, bytes):
        value = clean(value)
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    return value


def read_histories(paths: Iterable[Path]) -> list[Record]:
    """Read histories into one, in the order in which operations began.

    A last line that was cut off in the middle is passed over, as a killed process leaves one;
    any other damage raises `HistoryError`. Bodies come back as they were written, redacted.
    """
    records = [record for path in paths for record in _read(path)]
    return sorted(records, key=lambda record: record.began_at)


def _read(path: Path) -> Iterable[Record]:
    begun: dict[str, dict[str, Any]] = {}
    lines = _text(path).split("\n")
    for number, text in enumerate(lines, start=1):
        if not text:
            continue
        try:
            line = json.loads(text)
            if line["line"] in {"begin", "end"}:
                begun.setdefault(line["id"], {}).update(line)
        except (ValueError, KeyError, TypeError):
            if number < len(lines):
                raise HistoryError(f"{path}: line {number} is not a line of a history") from None
    try:
        return [_record(fields) for fields in begun.values()]
    except (ValueError, KeyError, TypeError) as error:
        raise HistoryError(f"{path}: an operation is not told whole ({error!r})") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise HistoryError(f"{path}: is not text in UTF-8") from None


def _record(fields: Mapping[str, Any]) -> Record:
    ended = "outcome" in fields
    return Record(
        id=fields["id"],
        test=fields["test"],
        operation=fields["operation"],
        role=fields["role"],
        customer=fields["customer"],
        inputs=fields["inputs"],
        began_at=fields["began_at"],
        ended_at=fields.get("ended_at"),
        outcome=Outcome(**fields["outcome"]) if ended else unknown("it was cut off"),
        exchanges=tuple(_exchange(entry) for entry in fields.get("exchanges", ())),
    )


def _exchange(entry: Mapping[str, Any]) -> Exchange:
    call, reply = entry["call"], entry["reply"]
    return Exchange(
        call=Call(
            call["method"],
            call["path"],
            _pairs(call["query"]),
            _pairs(call["headers"]),
            _bytes(call["body"]),
        ),
        reply=NoReply(reply["no_reply"], reply["sent"], reply["detail"])
        if "no_reply" in reply
        else Reply(reply["status"], _pairs(reply["headers"]), _bytes(reply["body"])),
        at=entry["at"],
        elapsed_ms=entry["elapsed_ms"],
    )


def _pairs(pairs: list[list[str]]) -> Pairs:
    return tuple((name, value) for name, value in pairs)


def _bytes(value: str | Mapping[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])
