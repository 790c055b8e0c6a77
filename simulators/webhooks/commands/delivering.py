"""Delivers a handful of events one after the other, and tells each as it is done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import typer

from harness.cli.console import output
from simulators.webhooks.commands.destination import Wish, find_destination
from simulators.webhooks.commands.posting import Delivery, Poster, Signing, exit_status, sign
from simulators.webhooks.commands.telling import (
    INTERRUPTED,
    document,
    summary,
    tell_delivery,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulators.webhooks.events import Obj


class Outgoing(NamedTuple):
    """An event to send; `body` is its recorded form where that is to be sent byte for byte."""

    event: Obj
    body: bytes | None = None


def warn_of_secret(wish: Wish) -> None:
    """Say that a secret on the command line is no secret."""
    if wish.secret is not None:
        warn("--secret can be read by everybody on this machine; prefer --secret-env NAME")


def deliver(
    wish: Wish, events: Sequence[Outgoing], how: Signing, *, times: int = 1, as_json: bool = False
) -> int:
    """Send each event so many times, in order; return the exit status.

    Ctrl-C ends it with what was done so far.
    """
    destination = find_destination(wish)
    warn_of_secret(wish)
    done: list[Delivery] = []
    is_cut_short = False
    try:
        with Poster(destination) as poster:
            for outgoing in (each for each in events for _ in range(times)):
                done.append(poster.post(outgoing.event, how, outgoing.body))
                if not as_json:
                    tell_delivery(done[-1])
    except KeyboardInterrupt:
        is_cut_short = True
    if as_json:
        facts = document(destination.url, done, how, is_cut_short=is_cut_short)
        typer.echo(json.dumps(facts, indent=2))
    elif len(done) != 1 or is_cut_short or not how.is_valid:
        output.print(summary(done, how, is_cut_short=is_cut_short))
    return INTERRUPTED if is_cut_short else exit_status(done, how)


def show(wish: Wish, events: Sequence[Outgoing], how: Signing, *, as_json: bool) -> int:
    """Print what would be sent, headers and body, and send nothing."""
    destination = find_destination(wish, is_sent=False)
    warn_of_secret(wish)
    signed = [sign(each.body or each.event, destination.secret, how) for each in events]
    if as_json:
        shown = [{"headers": dict(each.headers), "body": each.body.decode()} for each in signed]
        typer.echo(json.dumps({"requests": shown}, indent=2))
        return 0
    for number, each in enumerate(signed):
        if number:
            typer.echo("")
        typer.echo("".join(f"{name}: {value}\n" for name, value in each.headers))
        typer.echo(each.body.decode())
    return 0
