"""`billing-harness webhooks storm`: unique events at a steady rate, and how they were answered.

Arrivals keep their schedule whatever the receiver does, and latency counts from the moment at
which an event should have left: a receiver that stalls cannot hide it (coordinated omission).
"""

import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from harness.cli.console import errors, output
from harness.errors import SettingsError
from simulators.webhooks.commands.catalogue import Kind, check_options, find_kind
from simulators.webhooks.commands.composing import compose
from simulators.webhooks.commands.delivering import warn_of_secret
from simulators.webhooks.commands.destination import Destination, Wish, find_destination
from simulators.webhooks.commands.options import AsJson, takes_options
from simulators.webhooks.commands.parameters import Parameters
from simulators.webhooks.commands.posting import Delivery, Poster, Signing, exit_status
from simulators.webhooks.commands.telling import INTERRUPTED, VERDICTS, counts_of, printable

RATE_MAX = 500.0
"""Events a second; one process that signs, sends and measures cannot do more in good faith."""
DURATION_S_MAX = 600.0
CONCURRENCY_MAX = 200
PROGRESS_S = 1.0
PERCENTS = (50, 90, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How many events, how fast, and how many under way at most."""

    rate: Annotated[float, typer.Option(help="Events a second, up to 500.", metavar="R")] = 10.0
    duration_s: Annotated[
        float, typer.Option("--duration", help="For how long, up to 600.", metavar="SECONDS")
    ] = 10.0
    concurrency: Annotated[
        int, typer.Option(help="How many under way at most, up to 200.", metavar="N")
    ] = 32

    def __post_init__(self) -> None:
        _check("--rate", self.rate, RATE_MAX, "events a second")
        _check("--duration", self.duration_s, DURATION_S_MAX, "seconds")
        _check("--concurrency", self.concurrency, CONCURRENCY_MAX, "at once")

    @property
    def count(self) -> int:
        """How many events there will be; at least one."""
        return max(1, int(self.rate * self.duration_s))


def _check(flag: str, value: float, most: float, unit: str) -> None:
    if not 0 < value <= most:
        raise SettingsError(
            f"{flag} {value:g} is out of range", hint=f"More than 0, up to {most:g} {unit}."
        )


@dataclass(slots=True)
class Tally:
    """What came back so far; `latencies_ms` of those that were answered, from their due time."""

    deliveries: list[Delivery] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    due: int = 0
    elapsed_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, delivery: Delivery, latency_ms: float) -> None:
        """Count one delivery."""
        with self.lock:
            self.deliveries.append(delivery)
            if delivery.status is not None:
                self.latencies_ms.append(latency_ms)

    def answers(self) -> dict[str, int]:
        """Count by status, or by why there was none; most frequent first."""
        found = Counter(
            delivery.answer.partition(":")[0] if delivery.status is None else str(delivery.status)
            for delivery in self.deliveries
        )
        return dict(found.most_common())

    @property
    def unsent(self) -> int:
        """How many were due and never left: the receiver, or this machine, was too slow."""
        return self.due - len(self.deliveries)


def percentile(sorted_values: list[float], percent: int) -> float:
    """Return the nearest-rank percentile.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([1.0, 2.0, 3.0, 4.0], 99)
    (2.0, 4.0)
    """
    rank = -(-len(sorted_values) * percent // 100)
    return sorted_values[max(rank, 1) - 1]


class Storm:
    """Sends on schedule from a few threads; `tally` can be read at any time."""

    def __init__(self, poster: Poster, kind: Kind, given: Parameters, schedule: Schedule) -> None:
        self.tally = Tally()
        self._poster = poster
        self._kind = kind
        self._given = given
        self._schedule = schedule
        self._queue: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._stop = threading.Event()

    def run(self, drain_s: float) -> Generator[None]:
        """Send everything, yielding each second; what has not left `drain_s` after the end stays.

        Closing the generator stops the storm; what is under way is waited for.
        """
        crowd = min(self._schedule.concurrency, self._schedule.count)
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(crowd)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            yield from self._feed(started)
            for _ in threads:
                self._queue.put(None)
            yield from _joined(threads, time.monotonic() + drain_s)
        finally:
            self._stop.set()
            for _ in threads:
                self._queue.put(None)
            for thread in threads:
                thread.join(drain_s)
            self.tally.elapsed_s = time.monotonic() - started

    def _feed(self, started: float) -> Generator[None]:
        told_at = started
        for number in range(self._schedule.count):
            due = started + number / self._schedule.rate
            while (wait_s := due - time.monotonic()) > 0:
                self._stop.wait(min(wait_s, PROGRESS_S))
                if time.monotonic() - told_at >= PROGRESS_S:
                    told_at = time.monotonic()
                    yield
            self._queue.put(due)
            self.tally.due += 1

    def _work(self) -> None:
        while (due := self._queue.get()) is not None and not self._stop.is_set():
            event = compose(self._kind, self._given, int(time.time()))[-1]
            delivery = self._poster.post(event, Signing())
            self.tally.add(delivery, (time.monotonic() - due) * 1000)


def _joined(threads: list[threading.Thread], ends_at: float) -> Generator[None]:
    for thread in threads:
        while thread.is_alive() and (left_s := ends_at - time.monotonic()) > 0:
            thread.join(min(left_s, PROGRESS_S))
            if thread.is_alive():
                yield


def storm_status(tally: Tally) -> int:
    """Return 1 where one was refused, 2 where one is unknown or never left, else 0."""
    status = exit_status(tally.deliveries, Signing())
    return status or (2 if tally.unsent else 0)


def latency_ms(tally: Tally) -> dict[str, float]:
    """Give the percentiles of the latency of answered events, and the largest; or nothing."""
    values = sorted(tally.latencies_ms)
    if not values:
        return {}
    found = {f"p{percent}": percentile(values, percent) for percent in PERCENTS}
    return {name: round(value, 1) for name, value in {**found, "max": values[-1]}.items()}


def facts_of(tally: Tally, url: str, *, is_cut_short: bool) -> dict[str, Any]:
    """Give what came of a storm as plain data."""
    return {
        "verdict": VERDICTS[storm_status(tally)],
        "to": url,
        "interrupted": is_cut_short,
        "due": tally.due,
        "sent": len(tally.deliveries),
        "unsent": tally.unsent,
        "elapsed_s": round(tally.elapsed_s, 2),
        "counts": counts_of(tally.deliveries),
        "answers": tally.answers(),
        "latency_ms": latency_ms(tally),
    }


def _tell(facts: dict[str, Any]) -> None:
    counts, answers = facts["counts"], facts["answers"]
    rate = facts["sent"] / facts["elapsed_s"] if facts["elapsed_s"] else 0.0
    output.print(
        f"{facts['sent']} sent in {facts['elapsed_s']:.1f} s ({rate:.1f}/s): "
        + ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        + (f", {facts['unsent']} never left" if facts["unsent"] else "")
        + ("; interrupted" if facts["interrupted"] else "")
    )
    output.print("answers: " + ", ".join(f"{printable(a)} ({n})" for a, n in answers.items()))
    if facts["latency_ms"]:
        shown = (f"{name} {value:.0f} ms" for name, value in facts["latency_ms"].items())
        output.print("latency from the due moment: " + ", ".join(shown))


def _blow(
    destination: Destination, kind: Kind, given: Parameters, schedule: Schedule
) -> tuple[Tally, bool]:
    """Send everything, with a line of progress each second; True: Ctrl-C ended it."""
    with Poster(destination) as poster:
        storm = Storm(poster, kind, given, schedule)
        steps = storm.run(destination.timeout_s)
        try:
            for _ in steps:
                done = len(storm.tally.deliveries)
                errors.print(f"{done} of {schedule.count} answered", style="dim")
        except KeyboardInterrupt:
            steps.close()
            return storm.tally, True
    return storm.tally, False


@takes_options()
def storm(
    schedule: Schedule,
    wish: Wish,
    given: Parameters,
    *,
    event: Annotated[
        str, typer.Argument(help="The type of the events.", metavar="[EVENT]")
    ] = "invoice.payment_succeeded",
    as_json: AsJson = False,
) -> int:
    """Send unique signed events at a steady rate; count the answers and measure their latency.

    Exit status: 0 all accepted; 1 one was refused; 2 one is unknown (no answer in time, or a 5xx)
    or never left.
    """
    kind = find_kind(event)
    check_options(kind, given)
    destination = find_destination(wish)
    warn_of_secret(wish)
    tally, is_cut_short = _blow(destination, kind, given, schedule)
    facts = facts_of(tally, destination.url, is_cut_short=is_cut_short)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        _tell(facts)
    return INTERRUPTED if is_cut_short else storm_status(tally)
