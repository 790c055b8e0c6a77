"""`billing-harness webhooks`: single events for any receiver, without a Stripe simulator.

Light to import: what sends is loaded when a command runs.
"""

from __future__ import annotations

import typer

from simulators.webhooks.commands.life import send_all
from simulators.webhooks.commands.listen import listen
from simulators.webhooks.commands.listing import events
from simulators.webhooks.commands.replay import replay
from simulators.webhooks.commands.send import send
from simulators.webhooks.commands.storm import storm

app = typer.Typer(
    help="Send single Stripe events to any receiver, or be one. Guide: docs/WEBHOOKS.md.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.command()(send)
app.command("send-all")(send_all)
app.command()(replay)
app.command()(storm)
app.command()(listen)
app.command()(events)
