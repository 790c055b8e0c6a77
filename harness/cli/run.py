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
from harness.settings import RunSettings, run_settings

if TYPE_CHECKING:
    from harness.report.results import RunResults

_FINDINGS_SHOWN = 12
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
        help="Run this suite only; may be given several times.",
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
    test: _Test = None,
    workers: _Workers = None,
    seed: _Seed = None,
    database: _Database = None,
    defect: _Defect = None,
    target_command: _TargetCommand = None,
    first: _First = None,
    stop_at: _StopAt = None,
    report: _Report = None,
    json_file: _JsonFile = None,
) -> int:
    """Run the suites against a target and give one verdict.

    Without a target, the reference billing service is started on this machine, with a Stripe
    simulator beside it.

    Try it: `billing-harness run`

    On your own API: `billing-harness run --target acme.toml --suite security --json out.json`
    """
    settings = run_settings(
        target=target,
        suites=tuple(suite) if suite else None,
        tests=tuple(test) if test else None,
        workers=workers,
        seed=seed,
        database=database,
        defects=tuple(defect) if defect else None,
        target_command=target_command,
        first=tuple(first) if first else None,
        stop_at=tuple(stop_at) if stop_at else None,
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

    chosen = chosen_suites(settings.suites)
    if settings.json_file:
        _clear(settings.json_file)
    errors.print(f"starting {settings.target} …", style="dim")
    with Conductor(settings) as conductor:
        plan = conductor.plan
        errors.print(
            f"suites: {', '.join(chosen)} · seed {plan.seed} · run {plan.run_id}", style="dim"
        )
        with Progress() as progress:
            _pytest(_arguments(settings, chosen), [conductor, progress])
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


def chosen_suites(asked: tuple[str, ...]) -> list[str]:
    """Give the suites to run. Raises `TargetError` for one that does not exist."""
    known = suite_names()
    wrong = [name for name in asked if name not in known]
    if wrong:
        raise TargetError(
            f"there is no suite {', '.join(map(repr, wrong))}",
            hint=f"Suites: {', '.join(known)}.",
        )
    return list(asked) or known


def suite_names() -> list[str]:
    """Name the suites that are installed, without importing any."""
    found = importlib.util.find_spec("suites")
    places = found.submodule_search_locations if found else None
    folders = [entry for place in places or () for entry in Path(place).iterdir()]
    return sorted(f.name for f in folders if (f / "__init__.py").is_file())


def _arguments(settings: RunSettings, chosen: list[str]) -> list[str]:
    arguments = [
        *("-c", str(_RUN_INI), "--rootdir", str(_suites_root())),
        *("-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:terminal"),
        *("--confcutdir", str(_suites_root() / "suites"), "-p", "no:junitxml"),
    ]
    if settings.tests:
        arguments += ["-k", " or ".join(settings.tests)]
    if settings.workers:
        arguments += ["-p", "xdist.plugin", "-n", str(settings.workers)]
    return [*arguments, "--pyargs", *(f"suites.{name}" for name in chosen)]


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
    pytest.main(arguments, plugins=plugins)


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
    page = (settings.report / "report.html").resolve()
    output.print(f"{results.duration_s:.1f} s · seed {results.seed} · report: {page}", style="dim")


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
