"""`billing-harness webhooks events`: what can be sent, and which options each event takes."""

import json

import typer
from rich.text import Text

from harness.cli.console import output
from simulators.webhooks.commands.catalogue import KINDS, Kind
from simulators.webhooks.commands.options import AsJson
from simulators.webhooks.commands.parameters import flag_of


def events(*, as_json: AsJson = False) -> int:
    """List every event that `send` builds, with the options and reasons that it takes."""
    if as_json:
        typer.echo(json.dumps([_data(kind) for kind in KINDS.values()], indent=2))
        return 0
    for kind in KINDS.values():
        output.print(Text.assemble((kind.type, "bold"), f"  {kind.about}"))
        for name, words in _facts(kind).items():
            output.print(Text(f"  {name:<8} {' '.join(words)}"))
    return 0


def _facts(kind: Kind) -> dict[str, list[str]]:
    """Give what there is to tell of an event, by name."""
    found = {
        "options": list(map(flag_of, kind.options)),
        "reasons": list(kind.reasons),
        "after": [kind.before] if kind.before else [],
    }
    return {name: words for name, words in found.items() if words}


def _data(kind: Kind) -> dict[str, object]:
    return {
        "type": kind.type,
        "about": kind.about,
        "options": list(map(flag_of, kind.options)),
        "reasons": list(kind.reasons),
        "after": kind.before,
    }
