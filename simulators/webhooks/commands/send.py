"""`billing-harness webhooks send`: one event, to any receiver."""

import time
from typing import Annotated

import typer

from simulators.webhooks.commands.catalogue import find_kind
from simulators.webhooks.commands.composing import compose
from simulators.webhooks.commands.delivering import Outgoing, deliver, show
from simulators.webhooks.commands.destination import Wish
from simulators.webhooks.commands.options import HOW, AsJson, Times, takes_options
from simulators.webhooks.commands.parameters import Parameters
from simulators.webhooks.commands.posting import Signing

EventName = Annotated[
    str,
    typer.Argument(help="Its type: `billing-harness webhooks events` lists them.", metavar="EVENT"),
]
OutOfOrder = Annotated[
    bool,
    typer.Option(
        "--out-of-order",
        help="Send the later of two events about one object before the earlier.",
        rich_help_panel=HOW,
    ),
]
PrintOnly = Annotated[
    bool, typer.Option("--print", help="Print headers and body, and send nothing.")
]


@takes_options()
def send(  # noqa: PLR0913 - typer turns parameters into options
    event: EventName,
    wish: Wish,
    given: Parameters,
    how: Signing,
    *,
    times: Times = 1,
    out_of_order: OutOfOrder = False,
    print_only: PrintOnly = False,
    as_json: AsJson = False,
) -> int:
    """Send one event, built whole and signed as Stripe signs, to any receiver.

    Exit status: 0 accepted (or, where it was forged, refused); 1 the receiver answered wrongly;
    2 unknown: no answer in time, or a 5xx.
    """
    found = compose(find_kind(event), given, int(time.time()), is_out_of_order=out_of_order)
    events = [Outgoing(each) for each in found]
    if print_only:
        return show(wish, events, how, as_json=as_json)
    return deliver(wish, events, how, times=times, as_json=as_json)
