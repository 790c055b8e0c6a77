"""The load commands teach, refuse before anything is sent, and leave this process alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from harness.errors import HarnessError, ProductionRefused, ReportError, SettingsError, Unknown
from harness.running import Running
from suites.load.commands import app
from suites.load.measuring.result import Result
from suites.load.parent.loading import Load, Silent
from suites.load.parent.running import standing
from suites.load.parent.telling import Terminal
from suites.load.parent.wish import Wish, check_address, check_rate
from suites.load.plan import Plan
from suites.load.report.writing import place_for, write_results
from suites.load.scenarios import SCENARIOS
from suites.load.schedule import Stage
from tests.cli.command import ACME, CHECKOUT
from tests.load.making import breach, made

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HERE = "http://127.0.0.1:9/hook"


def refused(*arguments: str) -> HarnessError:
    """Give the refusal that a command line ends in."""
    done = CliRunner().invoke(app, list(arguments))
    assert isinstance(done.exception, HarnessError), (done.exception, done.output)
    assert done.exception.hint, "there is no next step"
    return done.exception


def wish(**more: Any) -> Wish:
    """Give what was asked for: webhooks, unless told otherwise."""
    return Wish(**{"scenario": "webhooks", "target": "reference", **more})


@pytest.mark.parametrize("name", ["signup", "webhooks", "all"])
def test_every_scenario_teaches_itself(name: str) -> None:
    """Each has its sentence, and help with its options and when it ends how."""
    assert set(SCENARIOS) <= {command.name for command in app.registered_commands}
    told = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "120"})
    assert told.exit_code == 0
    for word in ("--rate", "--duration", "--threshold", "--scale", "--no-money", "99 a threshold"):
        assert word in told.output, word


def test_the_parent_never_loads_locust() -> None:
    """Commands, running and judging leave locust and gevent alone: they would patch the process."""
    code = (
        "import sys, suites.load.commands, suites.load.parent.asking, suites.load.test_load;"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('locust', 'gevent')))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, check=True
    )
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("usage", "--threshold", "latency.p99<1"), "nothing measures"),
        (("usage", "--threshold", "p99"), "not of the form"),
        (("usage", "--url", HERE), "needs a profile"),
        (("usage", "--model", "half-open"), "no model"),
        (("usage", "--with", "repeats"), "NAME=NUMBER"),
        (("usage", "--rate", "0"), "--rate cannot be 0"),
        (("usage", "--duration", "-1"), "--duration cannot be -1"),
        (("usage", "--scale", "nan"), "--scale cannot be nan"),
        (("usage", "--target", "nobody"), "no target 'nobody'"),
        (("usage", "--target", str(ACME), "--target-processes", "2"), "as many processes as it"),
        (("webhooks", "--url", HERE, "--target-processes", "2"), "nothing is started"),
        (("webhooks", "--url", HERE, "--defect", "canary"), "nothing is started"),
        (("usage", "--bind", "5557", "--master"), "no HOST:PORT"),
        (("webhooks", "--url", "not an address"), "no address"),
        (("webhooks", "--url", "https://198.51.100.7/hook"), "is not this machine"),
        (("webhooks", "--url", HERE), "no secret to sign"),
        (("webhooks", "--event", "invoice.payed"), "no event 'invoice.payed'"),
        (("usage", "--event", "invoice.paid"), "usage sends no events"),
        (("usage", "--with", "repeat=1"), "usage has no option 'repeat'"),
        (("all", "--with", "repeat=1"), "no scenario has an option 'repeat'"),
        (("webhooks", "--threshold", "kind:x.latency_ms.p99<9"), "has no kind 'x'"),
        (("report", "nothing.json"), "holds no load"),
        (("baseline", "compare", "nothing.json", "none.json"), "holds no load"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes no sense is refused in a sentence with the next step."""
    monkeypatch.chdir(tmp_path)
    assert words in refused(*arguments).message
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_told_to_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of --json holds the refusal, not an older load's facts."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "out.json"
    file.write_text('{"verdict": "valid"}')
    refused("usage", "--target", "nobody", "--json", str(file))
    facts = json.loads(file.read_text())
    assert facts["verdict"] == "unknown"
    assert facts["error"]["code"] == "bad_target"


@pytest.mark.parametrize("host", ["billing.prod.acme.test", "production.acme.test"])
def test_production_is_never_loaded(host: str) -> None:
    """An address that speaks of production is refused, whoever allowed its host."""
    with pytest.raises(ProductionRefused):
        check_address(wish(allow_hosts=(host,)), f"https://{host}/hook")


def test_a_strangers_host_needs_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is free to be loaded; any other host has to be named."""
    monkeypatch.setattr("suites.load.parent.wish.refuse_production", lambda *_, **__: None)
    check_address(wish(), HERE)
    with pytest.raises(SettingsError, match="not this machine"):
        check_address(wish(), "https://198.51.100.7/hook")
    check_address(wish(allow_hosts=("198.51.100.7",)), "https://198.51.100.7/hook")


def test_a_flood_needs_a_word() -> None:
    """Rates above the cap are refused until it is raised."""
    plan = Plan("usage", (Stage(1, 10, 5000),), "nowhere", {}, 1)
    with pytest.raises(SettingsError, match="above the cap"):
        check_rate(wish(), plan)
    check_rate(wish(rate_cap=5000), plan)


def test_an_unknown_scenario_is_told(tmp_path: Path) -> None:
    """A name that no scenario has ends in the list of those there are."""
    asked = wish(scenario="nothing", folder=tmp_path)
    with pytest.raises(HarnessError, match="no load scenario"), standing(asked, Silent()):
        pass


def test_two_loads_do_not_share_a_folder(tmp_path: Path) -> None:
    """A second load into a folder that is in use is refused: histories would mix."""
    with (
        place_for(tmp_path / "a"),
        pytest.raises(HarnessError, match="another load"),
        place_for(tmp_path / "a"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    """Nobody learns after a long load that its results cannot be kept."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="cannot be written"), place_for(tmp_path / "file"):
        pass


def test_there_is_room_for_results_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is let go before results are written; what still does not fit is told, facts first."""

    def page(_: object) -> str:
        raise ReportError("report.html cannot be written: No space left on device")

    monkeypatch.setattr("suites.load.report.writing.page", page)
    with place_for(tmp_path / "load"):
        kept = sum(file.stat().st_size for file in tmp_path.rglob("*"))
        lost = write_results(tmp_path / "load", made())
        left = sum(file.stat().st_size for file in tmp_path.rglob("*"))
        assert kept > 20 * left
    assert lost == ["report.html cannot be written: No space left on device"]
    assert json.loads((tmp_path / "load" / "load.json").read_text())["verdict"] == "valid"
    assert {file.name for file in (tmp_path / "load").iterdir()} == {
        *("load.json", "kinds.csv", "series.csv"),
    }


def test_a_report_is_made_again(tmp_path: Path) -> None:
    """The facts alone make the page, and tell who is out how much, with the load's exit status."""
    money = {
        "verdict": "invalid",
        "reasons": [],
        "customers": 1,
        "requests": 9,
        "answered": 9,
        "refused": 0,
        "unknown": 0,
        "checks": [],
        "findings": [breach()],
        "findings_count": 1,
    }
    (tmp_path / "load.json").write_text(json.dumps(made(money=money)))
    told = CliRunner().invoke(app, ["report", str(tmp_path / "load.json")], standalone_mode=False)
    assert told.return_value == 1
    assert "INVALID" in told.output
    assert re.search(r"cus_42: charged again .*29\.00.*call load0-17", told.output)
    assert (tmp_path / "report.html").is_file()


def test_baselines_are_saved_and_compared(tmp_path: Path) -> None:
    """Three loads make a baseline; a fourth that is slower ends with 99 and says by how much."""
    file = tmp_path / "baseline.json"
    paths = []
    for number, p99 in enumerate((40.0, 41.0, 42.0, 400.0)):
        figures = {**made()["latency_ms"], "p99": p99}
        paths.append(tmp_path / f"{number}.json")
        data = made(run_id=f"r{number}", latency_ms=figures)
        paths[-1].write_text(json.dumps(data))
    saved = CliRunner().invoke(app, ["baseline", "save", str(file), *map(str, paths[:3])])
    assert saved.exit_code == 0
    assert "3 like this one" in saved.output
    for path, status in ((paths[2], 2), (paths[3], 99)):
        told = CliRunner().invoke(
            app, ["baseline", "compare", str(file), str(path)], standalone_mode=False
        )
        assert told.return_value == status, told.output


def test_what_could_not_be_prepared_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that does not settle before the load is a doubt with its reason, and no fault."""

    def unsettled(_: Load) -> Any:
        raise Unknown("the target did not settle within 60 s")

    monkeypatch.setattr(Load, "_prepared", unsettled)
    load = Load(wish(folder=tmp_path, url=HERE), None, Running(), Silent(), "run1", 1)
    with place_for(load.wish.place):
        data = load.run()
    assert data["exit_status"] == 2
    assert data["unknown_reasons"] == [
        "it could not be prepared: the target did not settle within 60 s"
    ]
    assert (load.wish.place / "report.html").exists()


def test_closing_locusts_page_is_no_interruption() -> None:
    """Ctrl-C after the last arrival closes the page that stayed; before it, it ends the load."""
    stops: list[int] = []
    over = Result("usage", partial=False)
    process: Any = SimpleNamespace(stop=lambda: stops.append(1), so_far=lambda: over)
    load = Load(wish(url=HERE), None, Running(), Silent(), "run1", 1)
    load._stop(process)
    assert (load.interrupts, len(stops)) == (0, 1)
    process.so_far = lambda: Result("usage")
    load._stop(process)
    assert (load.interrupts, len(stops)) == (1, 2)


@pytest.mark.parametrize(
    ("step_s", "parts"),
    [(1.0, range(10, 101, 10)), (0.125, (16, 32, 48, 64, 80, 96, 100)), (0.001, (100,))],
)
def test_a_log_is_told_how_far_each_step_has_come(
    step_s: float,
    parts: Sequence[int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nobody watches, steps are told of in parts, the quicker the fewer, and their ends."""
    now = 0.0
    monkeypatch.setattr("harness.cli.bar.time", SimpleNamespace(monotonic=lambda: now))
    with Terminal() as tell:
        for what in ("preparing", "renewing"):
            for done in range(1, 101):
                now += step_s
                tell.progress(what, done, 100)
    told = capsys.readouterr().err.split("\n")
    assert [line for line in told if line] == [
        f"{what}: {done} of 100" for what in ("preparing", "renewing") for done in parts
    ]
