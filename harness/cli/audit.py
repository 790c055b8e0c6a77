"""`billing-harness audit`: holds production's books against Stripe, reading only."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.console import COLOURS, errors, output, refusal_data
from harness.errors import HarnessError
from harness.money import spoken
from harness.report.write import prepare_file, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.audit.asking import Access
    from harness.audit.facts import Audited

_SHOWN_MAX = 20
_DAY = "24h"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for, as it stands on the line."""

    target: str
    since: str
    until: str | None
    settle_s: int
    by: str | None
    deadline_s: float


def audit(
    target: Annotated[
        str, typer.Option(help="A target: a name, a profile's FILE.toml, or module:Class.")
    ],
    since: Annotated[
        str, typer.Option(help="From when: 24h, 7d (ago), 2026-01-31T06:00Z, or Unix seconds.")
    ] = _DAY,
    until: Annotated[
        str | None, typer.Option(help="Until when.", show_default="as late as --settle lets it")
    ] = None,
    settle: Annotated[
        int,
        typer.Option(help="What is younger may be in flight, and is left out.", metavar="SECONDS"),
    ] = 600,
    by: Annotated[
        Literal["sql", "api"] | None,
        typer.Option(help="How the books are read.", show_default="sql where a database is named"),
    ] = None,
    deadline: Annotated[
        float, typer.Option(help="What is not read by then is unknown.", metavar="SECONDS")
    ] = 1800,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the facts as JSON.", metavar="FILE")
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Write metrics for node_exporter's collector.", metavar="FILE.prom"),
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Push metrics to the gateway of PUSHGATEWAY_URL.")
    ] = False,
) -> int:
    """Hold every charge, refund and dispute at Stripe against the books, and each balance.

    It sends nothing but GET to Stripe and the API, and reads the database in a read-only session:
    it may be pointed at production. Stripe's key is a restricted one, by the environment.

    Exit status: 0 all agrees; 1 money or units differ (who is out how much, by which charge);
    2 something could not be read, so nothing is proven.

    Try it: `billing-harness audit --target production.toml --since 7d`
    """
    asked = _Asked(target, since, until, settle, by, deadline)
    told = _Told(json_file, metrics, push=push)
    with told.prepared(), _status() as tell:
        audited = _audited(asked, tell)
    _show(audited)
    told.tell(audited)
    return audited.exit_status


@dataclass(frozen=True, slots=True)
class _Told:
    """Where the result goes beside the terminal."""

    json_file: Path | None
    metrics: Path | None
    push: bool

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Find a mistake about where to tell before the long work; tell machines of any inside."""
        try:
            for file in (self.json_file, self.metrics):
                if file is not None:
                    prepare_file(file)
            if self.push:
                from harness.pushing import gateway_of

                gateway_of(os.environ)
            yield
        except HarnessError as error:
            if self.json_file is not None:
                with contextlib.suppress(HarnessError):
                    write_whole(self.json_file, json.dumps(refusal_data(error), indent=2) + "\n")
            raise

    def tell(self, audited: Audited) -> None:
        """Tell everybody."""
        if self.json_file is not None:
            write_whole(self.json_file, json.dumps(audited.to_json(), indent=2) + "\n")
        if self.metrics is not None:
            _write(audited, self.metrics)
        if self.push:
            _push(audited)


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Show what is being done where a person watches; a log is told each step once."""
    if not errors.is_terminal:
        yield lambda what: errors.print(what, style="dim")
        return
    with errors.status("reading …") as status:
        yield status.update


def _audited(asked: _Asked, tell: Callable[[str], None]) -> Audited:
    from harness.audit.asking import Access
    from harness.audit.facts import Unreadable
    from harness.target.load import find_target

    access = Access(find_target(asked.target), asked.deadline_s, tell)
    with contextlib.closing(access):
        try:
            return _compared(access, asked, tell)
        except Unreadable as error:
            raise HarnessError(str(error), hint="Nothing was looked at: mend this first.") from None


def _compared(access: Access, asked: _Asked, tell: Callable[[str], None]) -> Audited:
    from harness.audit.asking import window_of
    from harness.audit.auditing import audit as compare
    from harness.audit.facts import Audited
    from harness.audit.matching import Sides

    profile = access.profile
    window = window_of(asked.since, asked.until, asked.settle_s, access.now())
    with access.books(asked.by, window.since) as books:
        audited = Audited(profile.target.name, window, books.name, profile.catalog.currency)
        marks = frozenset(profile.audit.marks)
        compare(Sides(books, access.stripe, profile.catalog, marks), audited, tell)
    return audited


def _show(audited: Audited) -> None:
    verdict = audited.verdict
    head = Text.assemble(f"audit of {audited.target}: ", (verdict, COLOURS[verdict]))
    output.print(head)
    seen = ", ".join(f"{count} {what}" for what, count in audited.looked_at.items() if count)
    since, until = (_spoken_time(at) for at in (audited.window.since, audited.window.until))
    output.print(f"  from {since} to {until}, the books read by {audited.books}")
    output.print(f"  looked at {seen or 'nothing: is it the right window, and the right books?'}")
    for found in audited.findings[:_SHOWN_MAX]:
        output.print(Text(f"  {found}", style="red"))
    more = audited.counts.total() - _SHOWN_MAX
    if more > 0:
        output.print(f"  … and {more} more: --json FILE lists them")
    _show_sums(audited)
    for currency, amount_minor in audited.strangers.items():
        moved = spoken(amount_minor, currency)
        output.print(f"  not judged: {moved} of customers whom the books do not know")
    for gap in audited.gaps:
        output.print(Text(f"  could not be read: {gap.what}: {gap.reason}", style="yellow"))


def _show_sums(audited: Audited) -> None:
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    for (kind, currency), count in sorted(audited.counts.items()):
        amount = audited.amounts[kind, currency]
        table.add_row(kind, str(count), spoken(amount, currency) if currency else "")
    if audited.counts:
        output.print(table)


def _spoken_time(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _write(audited: Audited, file: Path) -> None:
    from prometheus_client import generate_latest

    from harness.audit.telling import registry_of, succeeded_before

    registry = registry_of(audited, time.time(), succeeded_before(file))
    write_whole(file, generate_latest(registry).decode())


def _push(audited: Audited) -> None:
    """Push; a gateway that is dead or refuses is told, and changes no verdict."""
    from harness.audit.telling import JOB, registry_of
    from harness.pushing import gateway_of, push

    gateway = gateway_of(os.environ)
    if gateway.in_the_clear:
        errors.print("the password crosses the network in the clear: use https", style="yellow")
    registry = registry_of(audited, time.time())
    trouble = push(gateway, JOB, registry, {"target": audited.target}, adding=True)
    if trouble:
        errors.print(f"the metrics were not pushed: {trouble}", style="bold yellow")
