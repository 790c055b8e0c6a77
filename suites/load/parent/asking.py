"""What the load commands do: options to a wish, loads one after the other, one exit status."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from harness.cli.console import errors, output, refusal_data
from harness.errors import HarnessError, ReportError, SettingsError
from harness.report.write import prepare_file, write_whole
from harness.settings import run_settings
from simulators.webhooks.commands.catalogue import find_kind
from suites.load.measuring import baseline
from suites.load.measuring.result import RESULT_FILE, Result, figure
from suites.load.measuring.thresholds import parse
from suites.load.parent.launcher import Spread
from suites.load.parent.loading import EXIT_INTERRUPTED
from suites.load.parent.running import standing
from suites.load.parent.telling import Terminal, tell_capacity, tell_verdict
from suites.load.parent.wish import RESULTS, Wish
from suites.load.plan import Model
from suites.load.report.page import page
from suites.load.report.writing import (
    EXIT_MISSED,
    PAGE_FILE,
    headline,
    write_results,
    write_summary,
)
from suites.load.scenarios import SCENARIOS, find_scenario
from suites.load.scenarios.breakpoint import Breakpoint, search, step_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_WORST_FIRST = (EXIT_INTERRUPTED, 1, EXIT_MISSED, 2, 0)
_BREAKPOINT, _ALL = "breakpoint", "all"


def run_command(name: str, given: Mapping[str, Any]) -> int:
    """Run a scenario, or all of them, as the command line asks; give the exit status."""
    file: Path | None = given["json_file"]
    try:
        if file:
            prepare_file(file)
            file.unlink(missing_ok=True)
        wish = wish_of(name, given)
        with Terminal() as terminal:
            data = _run(wish, terminal)
    except HarnessError as error:
        if file:
            with contextlib.suppress(ReportError):
                write_whole(file, json.dumps(refusal_data(error), indent=2) + "\n")
        raise
    if file:
        write_whole(file, json.dumps(data, indent=1, default=str) + "\n")
    return int(data["exit_status"])


def wish_of(name: str, given: Mapping[str, Any]) -> Wish:
    """Make a wish of the command line's options. Raises `SettingsError`."""
    if given["url"] and name != "webhooks":
        raise SettingsError(
            f"{name} needs a profile: an address alone takes webhooks only",
            hint="Leave --url out, and say --target FILE.toml.",
        )
    if given["url"] and _starts_something(given):
        raise SettingsError(
            "--url names what runs already: nothing is started",
            hint="Leave out --database, --defect, --target-command and --target-processes.",
        )
    if given["event"] and name not in {"webhooks", _ALL}:
        raise SettingsError(
            f"{name} sends no events", hint="Leave --event out, or say `load webhooks`."
        )
    for event in given["event"] or ():
        find_kind(event)
    if given["model"] not in get_args(Model):
        raise SettingsError(
            f"there is no model {given['model']!r}", hint="Say --model open or --model closed."
        )
    same = ("url", "secret", "model", "rate", "users", "scale", "poisson", "connections", "seed")
    return Wish(
        scenario=name,
        target=run_settings(target=given["target"]).target,
        duration_s=given["duration"],
        think_s=given["think"],
        timeout_s=given["timeout"],
        lateness_s_max=given["max_lateness"],
        generator_lateness_ms=given["generator_lateness"],
        thresholds=tuple(given["threshold"] or ()),
        judged=given["judged"],
        events=tuple(given["event"] or ()),
        extra=_own(given["own"] or ()),
        money=given["money"],
        settle_s=given["settle"],
        allow_hosts=tuple(given["allow_host"] or ()),
        rate_cap=given["rate_cap"],
        spread=_spread(given),
        database=given["database"],
        defects=tuple(given["defect"] or ()),
        target_command=given["target_command"],
        target_processes=given["target_processes"],
        folder=given["results"],
        metrics_port=given["metrics_port"],
        trace=given["trace"],
        **{option: given[option] for option in same},
    )


def _starts_something(given: Mapping[str, Any]) -> bool:
    usual = given["database"] == "sqlite" and given["target_processes"] == 1
    return bool(given["defect"] or given["target_command"]) or not usual


def _own(pairs: Sequence[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        name, equals, figure = pair.partition("=")
        try:
            found[name.strip()] = float(figure)
        except ValueError:
            equals = ""
        if not equals:
            raise SettingsError(
                f"--with {pair!r} is not of the form NAME=NUMBER",
                hint="Such as --with repeats=0.1; --help lists a scenario's own options.",
            )
    return found


def _spread(given: Mapping[str, Any]) -> Spread:
    spread = Spread(
        processes=given["processes"],
        master=given["master"],
        expect_workers=given["expect_workers"],
        web_port=given["web"],
    )
    if not given["bind"]:
        return spread
    host, _, port = given["bind"].rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(
            f"--bind {given['bind']!r} is no HOST:PORT", hint="Such as --bind 0.0.0.0:5557."
        )
    return replace(spread, bind_host=host, bind_port=int(port))


def _run(wish: Wish, terminal: Terminal) -> dict[str, Any]:
    if wish.scenario == _ALL:
        return _run_all(wish, terminal)
    with standing(wish, terminal) as run:
        data = _break(wish, run) if wish.scenario == _BREAKPOINT else run(wish)
    tell_verdict(data, wish.place)
    if "capacity" in data:
        tell_capacity(data["capacity"])
    write_summary(wish.folder, [data])
    return data


def _run_all(wish: Wish, terminal: Terminal) -> dict[str, Any]:
    """Run every scenario but the one that only looks for a limit; a fresh target for each."""
    done: list[dict[str, Any]] = []
    wishes = list(_each(wish))
    for one in wishes:
        name = one.scenario
        try:
            with standing(one, terminal) as run:
                data = run(one)
        except HarnessError as error:
            result = Result(name, unknown_reasons=[error.message])
            data = {**result.to_data(), "outcome": "unknown", "interrupted": False}
            data["headline"] = headline(data)
        done.append(data)
        tell_verdict(data, one.place)
        if data["interrupted"]:
            break
    write_summary(wish.folder, done)
    status = min((data["exit_status"] for data in done), key=_WORST_FIRST.index)
    words = [f"{data['scenario']} {data['outcome']}" for data in done]
    output.print(f"in all: {', '.join(words)}")
    return {"loads": done, "exit_status": status}


def _each(wish: Wish) -> Iterator[Wish]:
    """Give the wish of every scenario, each with those own options that it has.

    Raises `SettingsError` for an option that none of them has, and for a threshold of none.
    """
    owners = {name: find_scenario(name) for name in SCENARIOS if name != _BREAKPOINT}
    known = {name: frozenset(getattr(owner, "extras", ())) for name, owner in owners.items()}
    every = frozenset().union(*known.values())
    for name in wish.extra:
        if name not in every:
            raise SettingsError(
                f"no scenario has an option {name!r}", hint=f"Known: {', '.join(sorted(every))}."
            )
    parse(wish.thresholds)
    for scenario, names in known.items():
        own = {name: figure for name, figure in wish.extra.items() if name in names}
        yield replace(wish, scenario=scenario, extra=own)


def _break(wish: Wish, run: Callable[[Wish], dict[str, Any]]) -> dict[str, Any]:
    """Raise the rate until an objective breaks; give the last load, with the table of all."""
    steps: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    own = {name: default for name, (default, _) in Breakpoint.extras.items()} | dict(wish.extra)

    def attempt(rate: float) -> bool | None:
        data = run(replace(wish, rate=rate))
        result = Result.from_data(data)
        steps.append(step_of(rate, result))
        last.clear()
        last.update(data)
        proven = result.exit_status in {0, EXIT_MISSED} and not data["interrupted"]
        return result.exit_status == 0 if proven else None

    first = Breakpoint.rate if wish.rate is None else wish.rate
    most = min(own["highest"], wish.rate_cap)
    held = search(first, most, own["precision"], attempt)
    last["capacity"] = {"rate": held, "steps": steps, "highest": most}
    if steps[-1]["verdict"] == "valid":
        # A missed objective is what is looked for: it is no fault of the last load.
        last["exit_status"] = 0 if held is not None else EXIT_MISSED
        last["outcome"] = "valid" if held is not None else "missed"
    told = "not even the first rate held" if held is None else f"capacity {figure(held)} arrivals/s"
    last["headline"] = f"{told}; the last load: {last['headline']}"
    for lost in write_results(wish.place, last):
        errors.print(f"not written: {lost}")
    return last


def make_page(document: Path, out: Path | None) -> int:
    """Make a load's page again; give the load's exit status."""
    data = read_document(document)
    path = out or document.with_name(PAGE_FILE)
    prepare_file(path)
    write_whole(path, page(data))
    tell_verdict(data, path.parent)
    return int(data["exit_status"])


def read_document(path: Path) -> dict[str, Any]:
    """Read a load's facts. Raises `SettingsError`."""
    try:
        data: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} holds no load: {error}", hint="Give a load.json of the results' folder."
        ) from None
    if not isinstance(data, dict) or "headline" not in data or "latency_ms" not in data:
        raise SettingsError(
            f"{path} is no whole load's facts", hint="Give a load.json of the results' folder."
        )
    return data


def save_baseline(file: Path, paths: Sequence[Path]) -> int:
    """Add loads to a baseline."""
    for path in paths or _latest():
        data = read_document(path)
        count = baseline.save(file, [data])
        enough = "" if count >= baseline.RUNS_MIN else f"; {baseline.RUNS_MIN} are needed"
        output.print(f"{data['scenario']}: {count} like this one in {file}{enough}")
    return 0


def compare_baseline(file: Path, paths: Sequence[Path], json_file: Path | None) -> int:
    """Hold loads against a baseline; 99 where one is worse, 2 where nobody can tell."""
    told = []
    for path in paths or _latest():
        data = read_document(path)
        if data["verdict"] != "valid":
            raise SettingsError(
                f"{path} ended {data['verdict']}: its figures prove nothing",
                hint="Run the load again until it is valid.",
            )
        compared = baseline.compare(file, data)
        told.append({"scenario": data["scenario"], **baseline.to_data(compared)})
        output.print(f"{told[-1]['compared'].upper()}  {data['scenario']}")
        for each in compared:
            output.print(f"  {each}")
    if json_file:
        prepare_file(json_file)
        write_whole(json_file, json.dumps({"loads": told}, indent=1) + "\n")
    words = {each["compared"] for each in told}
    return EXIT_MISSED if "worse" in words else 2 if "unknown" in words else 0


def _latest() -> list[Path]:
    found = sorted(RESULTS.glob(f"*/{RESULT_FILE}"))
    if not found:
        raise SettingsError(
            f"there are no results in {RESULTS}", hint="Give the load.json of one or several loads."
        )
    return found
