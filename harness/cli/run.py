"""`billing-harness run`: every suite against a target, one verdict."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from harness.cli.console import COLOURS, errors, output, refusal_data
from harness.errors import HarnessError, ReportError, TargetError
from harness.report.write import prepare_file, write_whole
from harness.selection import selection
from harness.settings import RunSettings, run_settings

if TYPE_CHECKING:
    from harness.conductor import Conductor
    from harness.replay.reproduce import Reproduction
    from harness.report.results import RunResults
    from harness.selection import Selection

_FINDINGS_SHOWN = 12
_LINES_SHOWN = 10
_RUN_INI = Path(__file__).parents[1] / "run.ini"


_Target = Annotated[
    str | None,
    typer.Option(
        help="A target: a name, a profile's FILE.toml, or module:Class.",
        metavar="TARGET",
        show_default="reference",
    ),
]
_Seed = Annotated[
    int | None,
    typer.Option(
        help="Repeat the choices of an earlier run.", metavar="N", show_default="drawn anew"
    ),
]


_Suite = Annotated[
    list[str] | None,
    typer.Option(
        help="Run this suite only; may be given several times. `smoke` is a quick selection of"
        " every suite, safe for a staging.",
        metavar="NAME",
        show_default="all",
    ),
]
_Group = Annotated[
    list[str] | None,
    typer.Option(
        help="Run only this group of tests, such as pci; may be given several times.",
        metavar="NAME",
        show_default="all",
    ),
]
_Test = Annotated[
    list[str] | None,
    typer.Option(
        help="Run only tests with this in their name or file's; may be given several times.",
        metavar="NAME",
        show_default="all",
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option("-n", "--workers", help="Run the tests in N processes.", metavar="N"),
]
_Database = Annotated[
    str | None,
    typer.Option(
        help="The reference service's database: sqlite, or postgres (a server of its own).",
        metavar="KIND",
        show_default="sqlite",
    ),
]
_Defect = Annotated[
    list[str] | None,
    typer.Option(
        help="Have the reference make this mistake on purpose (`gauntlet --list` names them);"
        " may be given several times.",
        metavar="NAME",
        show_default="none",
    ),
]
_TargetCommand = Annotated[
    str | None,
    typer.Option(
        help="Start the target by this command instead of its profile's own.",
        metavar="COMMAND",
        show_default="the profile's",
    ),
]
_First = Annotated[
    list[str] | None,
    typer.Option(help="Run this test function before the others.", metavar="TEST"),
]
_StopAt = Annotated[
    list[str] | None,
    typer.Option(help="Stop once this check or test function has found something.", metavar="NAME"),
]
_Partition = Annotated[
    str | None,
    typer.Option(
        help="Run one share of the tests: 2/4 is the second of four. Guide: docs/CI.md.",
        metavar="K/N",
        show_default="what the CI system says, or all",
    ),
]
_Durations = Annotated[
    Path | None,
    typer.Option(
        help="What tests cost, as `ci merge` records it: shares are cut by it.",
        metavar="FILE",
        show_default="reports/ci/durations.json",
    ),
]
_RerunFailed = Annotated[
    bool | None,
    typer.Option(
        "--rerun-failed/--no-rerun-failed",
        help="Run bad tests again, alone: one that passes then is flaky.",
        show_default="on in a partition",
    ),
]
_Coverage = Annotated[
    bool | None,
    typer.Option("--coverage", help="Measure what of the reference service is executed."),
]
_Shrink = Annotated[
    bool | None,
    typer.Option(
        "--shrink/--no-shrink",
        help="Look for the shortest way to what was found, by telling it to the target again.",
        show_default="on",
    ),
]
_Seeded = Annotated[
    bool | None,
    typer.Option(
        "--seeded", help="First lead a customer into each state of the fixture, and compare."
    ),
]
_Production = Annotated[
    str | None,
    typer.Option(
        "--i-know-this-is-production",
        help="Run against production, whose host must be named: only tests that send nothing or"
        " only read, and make no customer.",
        metavar="HOST",
        show_default="production is refused",
    ),
]
_Report = Annotated[
    Path | None,
    typer.Option(help="The report's folder.", metavar="DIR", show_default="reports/latest"),
]
_JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the facts to this file.", metavar="FILE")
]


def run(
    target: _Target = None,
    suite: _Suite = None,
    group: _Group = None,
    test: _Test = None,
    workers: _Workers = None,
    seed: _Seed = None,
    database: _Database = None,
    defect: _Defect = None,
    target_command: _TargetCommand = None,
    first: _First = None,
    stop_at: _StopAt = None,
    shrink: _Shrink = None,
    partition: _Partition = None,
    durations: _Durations = None,
    rerun_failed: _RerunFailed = None,
    coverage: _Coverage = None,
    seeded: _Seeded = None,
    production_host: _Production = None,
    report: _Report = None,
    json_file: _JsonFile = None,
) -> int:
    """Run the suites against a target and give one verdict.

    Without a target, the reference billing service is started on this machine, with a Stripe
    simulator beside it. Try it: `billing-harness run`

    On your own API: `billing-harness run --target acme.toml --suite security --json out.json`
    """
    settings = run_settings(
        target=target,
        suites=tuple(suite) if suite else None,
        groups=tuple(group) if group else None,
        tests=tuple(test) if test else None,
        workers=workers,
        seed=seed,
        database=database,
        defects=tuple(defect) if defect else None,
        target_command=target_command,
        first=tuple(first) if first else None,
        stop_at=tuple(stop_at) if stop_at else None,
        shrink=shrink,
        partition=partition,
        durations=durations,
        rerun_failed=rerun_failed,
        coverage=coverage,
        seeded=seeded,
        production_host=production_host,
        report=report,
        json_file=json_file,
    )
    try:
        return _run(settings)
    except HarnessError as error:
        _write_refusal(settings, error)
        raise
    except Exception as error:
        what = f"a fault of the harness: {type(error).__name__}: {error}"
        _write_refusal(settings, HarnessError(what))
        raise


def _run(settings: RunSettings) -> int:
    from harness.cli.progress import Progress
    from harness.conductor import Conductor

    chosen = selection(settings)
    if settings.json_file:
        _clear(settings.json_file)
    errors.print(f"starting {settings.target} …", style="dim")
    with Conductor(settings) as conductor:
        plan = conductor.plan
        share = f"partition {settings.share} · " if settings.share else ""
        errors.print(f"suites: {chosen} · {share}seed {plan.seed} · run {plan.run_id}", style="dim")
        with Progress() as progress:
            _pytest([*_arguments(), *_choice(settings, chosen)], [conductor, progress])
        _try_again(settings, conductor)
        errors.print("settling and judging the books …", style="dim")
        results = conductor.conclude()
    if settings.json_file:
        data = json.dumps(results.to_json(), indent=2, default=str)
        write_whole(settings.json_file, data + "\n")
    _tell(results, settings)
    return results.exit_status


def _clear(path: Path) -> None:
    """Make sure that the facts can be written, and that nobody takes older ones for them."""
    prepare_file(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written: {error.strerror}", hint="Give another path to --json."
        ) from None


def _arguments() -> list[str]:
    """Say how pytest is to behave, whatever it is to run."""
    return [
        *("-c", str(_RUN_INI), "--rootdir", str(_suites_root())),
        *("-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:terminal"),
        *("--confcutdir", str(_suites_root() / "suites"), "-p", "no:junitxml"),
    ]


def _choice(settings: RunSettings, chosen: Selection) -> list[str]:
    """Say which tests are to run, and in how many processes."""
    told = []
    if settings.workers:
        told += ["-p", "xdist.plugin", "-n", str(settings.workers)]
    if settings.share:
        told += [f"--harness-partition={settings.share}"]
        told += [f"--harness-durations={settings.durations.resolve()}"]
    return [*told, *chosen.arguments()]


def _try_again(settings: RunSettings, conductor: Conductor) -> None:
    """Run bad tests again, alone and in this process, where that was asked for."""
    wanted = settings.rerun_failed
    if not (settings.share is not None if wanted is None else wanted):
        return
    bad = conductor.bad()
    if bad:
        errors.print(f"running {len(bad)} bad test{'s' if len(bad) > 1 else ''} again, alone …")
        with conductor.again():
            _pytest([*_arguments(), *(str(_suites_root() / test) for test in bad)], [conductor])


def _suites_root() -> Path:
    found = importlib.util.find_spec("suites")
    if found is None or found.origin is None:
        raise TargetError("the suites are not installed", hint="Install billing-harness anew.")
    return Path(found.origin).parents[1]


def _pytest(arguments: list[str], plugins: list[Any]) -> None:
    """Run pytest in this process, with no plugin or option but ours to change a verdict."""
    import pytest

    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    sys.dont_write_bytecode = True  # an installed package's folder may not be ours to write to
    try:
        pytest.main(arguments, plugins=plugins)
    except pytest.PytestUnraisableExceptionWarning as error:
        # Found after the last test: what was left open takes no verdict away.
        errors.print(f"left open by the harness: {error}", style="dim", markup=False)


def _tell(results: RunResults, settings: RunSettings) -> None:
    """Print the verdict, what is wrong, and where the rest stands."""
    verdict = results.verdict
    output.print(Text.assemble((verdict.upper(), COLOURS[verdict]), "  ", results.headline()))
    for finding in results.findings[:_FINDINGS_SHOWN]:
        output.print(Text.assemble(("  ✗ ", "red"), _finding_line(finding)))
    if len(results.findings) > _FINDINGS_SHOWN:
        output.print(f"  … and {len(results.findings) - _FINDINGS_SHOWN} more in the report")
    for doubt in results.doubts:
        output.print(Text.assemble(("  ? ", "yellow"), doubt))
    if results.reproductions:
        _tell_way(results.reproductions[0], settings.report)
    page = (settings.report / "report.html").resolve()
    output.print(f"{results.duration_s:.1f} s · seed {results.seed} · report: {page}", style="dim")


def _tell_way(way: Reproduction, folder: Path) -> None:
    """Print how to see the first finding: the requests themselves, where they are few."""
    count = f"{way.requests} request{'s' if way.requests > 1 else ''}"
    stem = folder / "replay-1"
    if way.replayed:
        told = f"the shortest way there, seen again: {count}, read at the end"
        again = f"billing-harness replay {stem}.json"
    else:
        told = f"the way there as it was seen, {count}: {way.why}"
        again = f"{stem}.sh and {stem}.py"
    output.print(Text.assemble(("  → ", "cyan"), told))
    if way.lines <= _LINES_SHOWN:
        for line in way.curl.splitlines():
            output.print(
                f"      {line}".rstrip(), style="dim", highlight=False, markup=False, soft_wrap=True
            )
    output.print(Text.assemble("    again: ", (again, "bold")), soft_wrap=True)


def _finding_line(finding: dict[str, Any]) -> str:
    from harness.money import spoken

    amount = ""
    if finding["amount_minor"] is not None and finding["currency"]:
        amount = f" ({spoken(finding['amount_minor'], finding['currency'])})"
    by = f" [{finding['operation']}, call {finding['call']}]" if finding["call"] else ""
    # Where no customer is concerned, the case tells: a stale header and a forged one are two.
    who = finding["customer"] or (finding["test"] or "").rpartition("::")[2]
    who = f"{who}: " if who else ""
    return f"{who}{finding['message']}{amount}{by}"


def _write_refusal(settings: RunSettings, error: HarnessError) -> None:
    """Leave the reason in the file that was asked for; where that cannot be, it has been told."""
    if settings.json_file is None:
        return
    with contextlib.suppress(ReportError):
        prepare_file(settings.json_file)
        write_whole(settings.json_file, json.dumps(refusal_data(error), indent=2) + "\n")
