"""`billing-harness load`: light to import; locust is loaded in the load process alone."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from suites.load.parent import options as of  # noqa: TC001 - the same
from suites.load.parent.wish import RATE_CAP, RESULTS, SECRET_VARIABLE, SETTLE_S
from suites.load.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT = (
    "Exit status: 0 valid; 1 invalid: the money, or what the scenario reviews; 99 a threshold was"
    " missed and nothing is invalid; 2 unknown, void, or not able to run; 130 interrupted."
)
app = typer.Typer(
    help="Put a billing API under load, and check its money afterwards. Guide: docs/CAPACITY.md.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
baseline_app = typer.Typer(
    help="Keep what loads came to, and tell whether a new one is worse than chance explains.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
_ABOUT = {
    "signup": "New accounts: 20, 50, then 100 users, each signing up every 5 s.",
    "webhooks": "Signed, unique events: 17/s for a minute, 50/s for half one; forged ones between.",
    "rate-limit": "More than an hour's allowance on one key: the next is refused, and told.",
    "onboarding": "Accounts from the site and a marketplace in turn, then first card and balance.",
    "credential-vending": "API keys traded for short-lived credentials of providers.",
    "usage": "Units consumed, units charged at once, summaries read; some told twice.",
    "renewal-storm": "Every subscription renews at once, while customers read their balance.",
    "soak": "Usage for half an hour: its end must be as quick as its beginning.",
    "breakpoint": "Usage at rising rates until an objective breaks: the capacity.",
    "all": "Every scenario but breakpoint, one after the other, and one verdict.",
}
_MORE = {
    "signup": "Try it: `billing-harness load signup --scale 0.1`",
    "webhooks": "Own option: bad_signatures, the share of forged events (0.05). Types of event:"
    " --event, or invoice.payment_succeeded, invoice.payment_failed, customer.subscription.updated"
    " and customer.subscription.deleted in turn.\n\nWithout a profile: `billing-harness load"
    " webhooks --url URL --rate 50 --duration 30 --no-money`, with the secret in"
    f" {SECRET_VARIABLE}",
    "rate-limit": "Own option: requests in all (the profile's limit and 50 more).",
    "usage": "Own options: summaries (0.5) and charges (0.2), shares of arrivals; repeats (0.05),"
    " the share told twice.\n\nTry it: `billing-harness load usage --rate 20 --duration 10`",
    "renewal-storm": "Own option: subscriptions (10000; --scale makes them fewer).\n\nTry it:"
    " `billing-harness load renewal-storm --with subscriptions=50 --duration 10`",
    "soak": "Own options: those of usage; drift (2), how many times the first quarter's p99 the"
    " last may be; drift_ms (50), by how much it may grow in any case.",
    "breakpoint": "Own options: those of usage; precision (0.15), highest (2000).\n\nTry it:"
    " `billing-harness load breakpoint --duration 10 --json capacity.json`",
    "all": "Try it: `billing-harness load all --scale 0.05`",
}


def _scenario(name: str) -> Callable[..., int]:
    """Give the command of a scenario."""

    def command(  # noqa: PLR0917 - typer turns parameters into options
        target: of.Target = None,
        url: of.Url = None,
        secret: of.Secret = None,
        event: of.Events = None,
        model: of.Model = "open",
        rate: of.Rate = None,
        duration: of.Duration = None,
        users: of.Users = None,
        think: of.Think = None,
        scale: of.Scale = 1.0,
        poisson: of.Poisson = False,  # noqa: FBT002 - a flag of the command line
        connections: of.Connections = None,
        timeout: of.Timeout = 30.0,
        max_lateness: of.Lateness = 30.0,
        seed: of.Seed = None,
        own: of.With = None,
        threshold: of.Thresholds = None,
        judged: of.Judged = True,  # noqa: FBT002 - the same
        money: of.Money = True,  # noqa: FBT002 - the same
        generator_lateness: of.GeneratorLateness = 50.0,
        settle: of.Settle = SETTLE_S,
        processes: of.Processes = 0,
        master: of.Master = False,  # noqa: FBT002 - the same
        expect_workers: of.ExpectWorkers = 1,
        bind: of.Bind = "",
        web: of.Web = None,
        allow_host: of.AllowHost = None,
        rate_cap: of.RateCap = RATE_CAP,
        database: of.Database = "sqlite",
        defect: of.Defect = None,
        target_command: of.TargetCommand = None,
        target_processes: of.TargetProcesses = 1,
        results: of.Results = RESULTS,
        metrics_port: of.MetricsPort = None,
        trace: of.Trace = False,  # noqa: FBT002 - the same
        json_file: of.JsonFile = None,
    ) -> int:
        from suites.load.parent.asking import run_command

        return run_command(name, locals() | {"name": name})

    return command


for _name in (*SCENARIOS, "all"):
    _help = "\n\n".join(filter(None, (_ABOUT[_name], _MORE.get(_name))))
    app.command(_name, help=_help, short_help=_ABOUT[_name], epilog=EXIT)(_scenario(_name))


@app.command(epilog=EXIT)
def worker(
    master_host: Annotated[str, typer.Option(help="Where the master is.", metavar="HOST")],
    master_port: Annotated[int, typer.Option(help="Its port.", metavar="PORT")],
    processes: Annotated[int, typer.Option(help="So many of them.", metavar="N", min=1)] = 1,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Keep this machine's histories and traces here, too.",
            metavar="DIR",
        ),
    ] = None,
) -> int:
    """Be a worker of a load whose master (`--master`) runs elsewhere.

    Plan and secrets come from the master over Locust's own connection, which is not encrypted: use
    a network that nobody else reads. The profile must be found here under the same name, and its
    variables be set; production is refused from here, too. At the end the records go to the master,
    who judges the money by them.
    """
    from suites.load.parent.launcher import work
    from suites.load.parent.telling import tell_worker

    if results:
        results.mkdir(parents=True, exist_ok=True)
    tell_worker(f"working for {master_host}:{master_port}, with {processes} at once …")
    status = work(master_host, master_port, processes=processes, folder=results)
    tell_worker("done; the master has the figures" if status == 0 else "not done: see above")
    return status


@app.command()
def report(
    document: Annotated[Path, typer.Argument(help="A load's facts.", metavar="FILE")],
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes.", metavar="FILE.html")
    ] = None,
) -> int:
    """Make a load's page from its facts again, and tell its verdict.

    Try it: `billing-harness load report results/usage/load.json`
    """
    from suites.load.parent.asking import make_page

    return make_page(document, out)


@baseline_app.command("save")
def baseline_save(file: of.Baseline, documents: of.Documents = None) -> int:
    """Add loads to a baseline; three or more of a kind say how much chance there is.

    Try it: `billing-harness load baseline save baseline.json results/usage/load.json`
    """
    from suites.load.parent.asking import save_baseline

    return save_baseline(file, documents or [])


@baseline_app.command("compare", epilog="Exit status: 0 no worse; 99 worse; 2 cannot be told.")
def baseline_compare(
    file: of.Baseline, documents: of.Documents = None, json_file: of.JsonFile = None
) -> int:
    """Hold loads against a baseline: worse is beyond all its runs and beyond their spread.

    Try it: `billing-harness load baseline compare baseline.json results/usage/load.json`
    """
    from suites.load.parent.asking import compare_baseline

    return compare_baseline(file, documents or [], json_file)


app.add_typer(baseline_app, name="baseline")
