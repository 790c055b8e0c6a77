"""The guides of dashboards and telemetry: what they show runs, and does what they say."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from dashboards import checking
from dashboards.build import Wanted, artefacts
from dashboards.checks.lint import check_lint
from dashboards.checks.live import check_page, read_page
from dashboards.checks.orphans import check_orphans
from dashboards.checks.programs import run as run_program
from dashboards.grafana import Drawing, dashboard_json
from dashboards.naming import read_naming
from dashboards.objectives import Objectives
from dashboards.observables import amounts, plans
from dashboards.observables.model import DashboardPlan, Observable
from dashboards.promtest.write import panel_tests
from dashboards.yaml import to_yaml
from harness.cli import build_app
from harness.target.reader import read_profile
from tests.dashboards.fake_grafana import TOKEN, fake_grafana
from tests.dashboards.test_validate import PROFILE, acme
from tools.check_links import prose

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DASHBOARDS, TELEMETRY = ROOT / "docs" / "DASHBOARDS.md", ROOT / "docs" / "TELEMETRY.md"
COMMAND = re.compile(r"^\$ billing-harness (dashboards .+)$", re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[str]:
    """Give each command line of the guides, in their order; `prove` has tests of its own."""
    for guide in (DASHBOARDS, TELEMETRY):
        found = COMMAND.findall(guide.read_text())
        yield from (line for line in found if not line.startswith("dashboards prove"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """Give a folder with the profile that the guides speak of, and where its servers really are."""
    folder = tmp_path_factory.mktemp("guide")
    names = NAMES.findall(TELEMETRY.read_text())[-1]
    with acme() as (url, _), fake_grafana() as grafana:
        (folder / "acme.toml").write_text(PROFILE.format(url=url))
        (folder / "names.toml").write_text(PROFILE.format(url=url) + names)
        (folder / "docs").mkdir()
        yield folder, {"http://127.0.0.1:8000": url, "http://127.0.0.1:3000": grafana.url}


def _really(word: str, addresses: dict[str, str]) -> str:
    for shown, real in addresses.items():
        word = word.replace(shown, real)
    return word


def test_every_command_of_the_guides_runs(
    place: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, against a service and a Grafana that are here, each ends with 0."""
    folder, addresses = place
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    monkeypatch.setenv("ACME_SECRET", "whsec_" + "a" * 32)
    monkeypatch.setattr(checking, "check_rules", lambda _: ([], []))
    monkeypatch.setattr(shutil, "which", lambda _: None)  # programs have tests of their own
    lines = list(commands())
    assert len(lines) >= 9
    for line in lines:
        words = [_really(word, addresses) for word in shlex.split(line)]
        told = CliRunner().invoke(build_app(), words)
        assert told.exit_code == 0, f"{line}\n{told.output}{told.stderr}"


def test_the_guides_names_make_sense(place: tuple[Path, dict[str, str]]) -> None:
    """The section of a profile that the guide shows is read without a mistake."""
    naming = read_naming(read_profile(place[0] / "names.toml").profile.metrics)
    assert naming.expr("billing_payments_total{plan='x'}") == "acme_payments_total{tier='x'}"


def added() -> tuple[DashboardPlan, Observable]:
    """Put the guide's observable into the section where it says that it stands."""
    (block,) = BLOCK.findall(DASHBOARDS.read_text())
    found = eval(block, dict(vars(amounts)))  # noqa: S307 - our own documentation
    assert isinstance(found, Observable)
    billing = plans(Objectives())[0]
    *before, flows, watched = billing.sections
    longer = dataclasses.replace(flows, observables=(*flows.observables, found))
    return dataclasses.replace(billing, sections=(*before, longer, watched)), found


def test_an_observable_of_ten_lines_is_a_whole_one() -> None:
    """What the guide adds is drawn, and passes what is asked of every other panel."""
    plan, found = added()
    drawn: dict[str, Any] = json.loads(json.dumps(dashboard_json(plan, Drawing())))
    assert found.title in {panel["title"] for panel in drawn["panels"]}
    assert check_lint({"billing": drawn}) == []
    assert check_orphans((plan, *plans(Objectives())[1:])) == []


@pytest.mark.program("promtool")
def test_an_observable_of_ten_lines_shows_the_truth(tmp_path: Path) -> None:
    """Prometheus gives for its query what its oracle says."""
    plan, found = added()
    alone = dataclasses.replace(plan.sections[0], observables=(found,))
    tests = panel_tests(dataclasses.replace(plan, sections=(alone,)))
    (tmp_path / "tests.yml").write_text(to_yaml(tests, "Of a test."))
    assert run_program(["promtool", "test", "rules", "tests.yml"], str(tmp_path)) == ""
    (query,) = tests["tests"][0]["promql_expr_test"]
    query["exp_samples"][0]["value"] += 1
    (tmp_path / "tests.yml").write_text(to_yaml(tests, "Of a test."))
    assert run_program(["promtool", "test", "rules", "tests.yml"], str(tmp_path))


def test_the_telemetry_of_the_guide_lacks_nothing() -> None:
    """The example serves a page that the live check takes, and a payment moves its metrics."""
    told: dict[str, Any] = {}
    exec(BLOCK.findall(TELEMETRY.read_text())[0], told)  # noqa: S102 - our own documentation
    told["charged"]("cust_1", 59900)
    with told["serve"](0) as server:
        told["Page"].log_message = lambda *_: None
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        page = read_page(f"http://127.0.0.1:{server.server_port}/metrics", headers={})
        server.shutdown()
        thread.join(10)
    assert check_page(page) == []
    assert 'billing_revenue_cents_total{currency="usd",plan="pro"} 59900.0' in page
    assert 'billing_build_info{commit="9f3c2a1",version="1.4.2"} 1.0' in page


def test_every_alerts_runbook_is_there() -> None:
    """What an alert links to is a heading of a page that is there, with steps below it."""
    links = re.findall(r'runbook_url: "([^"]+)"', "".join(artefacts(Wanted()).values()))
    assert len(set(links)) >= 12
    for link in set(links):
        page, _, anchor = link.partition("#")
        lines = [line for _, line in prose(ROOT / page)]
        (at,) = [n for n, line in enumerate(lines) if line.lower() == f"### {anchor}"]
        assert "1. Look at" in "\n".join(lines[at : at + 8]), link
