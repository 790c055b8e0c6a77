"""`billing-harness webhooks replay`: events from a file, signed anew."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import HarnessError, SettingsError
from simulators.webhooks.commands.delivering import Outgoing, deliver
from simulators.webhooks.commands.destination import Wish
from simulators.webhooks.commands.options import AsJson, Times, takes_options
from simulators.webhooks.commands.posting import Signing
from simulators.webhooks.commands.telling import warn

FILE_BYTES_MAX = 64 * 1024 * 1024
EVENTS_MAX = 10_000


def read_events(path: Path) -> tuple[list[Outgoing], int]:
    """Read the events of a file in the order in which they happened; and count those left out.

    A file is one event, a list of events, Stripe's own list (newest first), JSON lines of events,
    or a harness's history. Of a history, the webhooks that the target did not refuse are read:
    those that it refused were forged on purpose, and a new signature would make them genuine.
    """
    text = _text(path)
    lines = text.splitlines()
    if lines and _is_history(lines[0]):
        return _from_history(path)
    try:
        found = json.loads(text)
    except ValueError:
        found = [_parsed(path, number, line) for number, line in enumerate(lines, 1) if line]
    if isinstance(found, dict) and found.get("object") == "list":
        data = found.get("data")
        found = data[::-1] if isinstance(data, list) else [data]
    events = found if isinstance(found, list) else [found]
    return [_checked(path, number, event) for number, event in enumerate(events, 1)], 0


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise SettingsError(
                f"{path} is too large", hint=f"Split it: at most {FILE_BYTES_MAX} bytes."
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}", hint="Give the path of a JSON file."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8", hint="Give a JSON file.") from None


def _is_history(line: str) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("line") in {"run", "begin", "end"}


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise SettingsError(
            f"{path}: line {number} is no JSON",
            hint="One event, a list of events, an event a line, or a history.jsonl.",
        ) from None


def _checked(path: Path, number: int, event: Any) -> Outgoing:
    if not _is_event(event):
        raise SettingsError(
            f"{path}: entry {number} is no event",
            hint="An event has id, type and data.object, all as Stripe sends them.",
        )
    return Outgoing(event)


def _is_event(found: Any) -> bool:
    try:
        is_named = isinstance(found["id"], str) and isinstance(found["type"], str)
        return is_named and isinstance(found["data"]["object"], dict)
    except (KeyError, TypeError):
        return False


def _from_history(path: Path) -> tuple[list[Outgoing], int]:
    """Read the webhooks of a history, byte for byte as they were sent."""
    found: list[Outgoing] = []
    left_out = 0
    for body, is_refused in _recorded(path):
        try:
            event = json.loads(body)
        except ValueError:
            event = None
        if is_refused or not _is_event(event):
            left_out += 1
        else:
            found.append(Outgoing(event, body))
    return found, left_out


def _recorded(path: Path) -> Iterator[tuple[bytes, bool]]:
    from harness.history import read_histories

    for record in read_histories([path]):
        if record.operation == "receive_webhook":
            for exchange in record.exchanges:
                yield exchange.call.body, record.outcome.kind == "refused"


@takes_options()
def replay(
    file: Annotated[
        Path, typer.Argument(help="JSON, JSON lines, or a history.jsonl.", metavar="FILE")
    ],
    wish: Wish,
    how: Signing,
    *,
    times: Times = 1,
    as_json: AsJson = False,
) -> int:
    """Send events from a file again, in the order in which they happened, signed anew.

    Of a history.jsonl the webhooks are sent that the target did not refuse. Exit status: 0 all
    accepted (or, where forged, refused); 1 one was answered wrongly; 2 one is unknown.
    """
    events, left_out = read_events(file)
    if left_out:
        warn(f"{left_out} left out: refused when recorded, or no events")
    _check_count(file, len(events))
    return deliver(wish, events, how, times=times, as_json=as_json)


def _check_count(file: Path, count: int) -> None:
    if not count:
        raise HarnessError(f"{file} holds no events to send", hint="Look into the file.")
    if count > EVENTS_MAX:
        raise SettingsError(f"{file} holds {count} events", hint=f"Split it: {EVENTS_MAX} at most.")
