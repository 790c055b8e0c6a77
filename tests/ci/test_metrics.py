"""The metrics of a merged run reach a real Prometheus, equal to what was merged."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from ci.commands import app
from ci.gates import Gate, gate_file
from ci.merge import MergeOptions, merge
from ci.metrics import METRICS, read_merged, read_registry, samples_of
from ci.pushing import branch_class, grouping_key
from harness.errors import SettingsError
from harness.pushing import gateway_of
from tests.ci.making import ALL, made, make_part
from tests.cli.command import CHECKOUT
from tests.stack.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER, PASSWORD = "ci", "pass-of-a-test"
HASH = "$2b$04$Bi1TjJMju.58HroX9x7OC..DH5znDXizkALCebQ/1tKHICWJ2pj.2"
MATRIX = {"defects": [{"group": "money", "status": s} for s in ("killed", "killed", "survived")]}
LOAD = {
    "rate": 50.0,
    "scenarios": {
        "usage": {"quantiles_s": {"0.95": 0.08, "0.99": 0.2}, "error_ratio": 0.01, "dropped": 3}
    },
}


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """Give the folder of a merged run with something in it for every metric."""
    for index in (1, 2):
        own = [made(test) for test in ALL[index - 1 :: 2]]
        if index == 1:
            own[0] = made(ALL[0], result="unknown", flaky=True, reason="flaky", duration_s=4.5)
        make_part(tmp_path / "parts", index, 2, own)
    for gate in (
        Gate("lint", "missed", "exit status 1", 3.0, 0),
        Gate("types", "passed", "exit status 0", 0.0, 0),
        Gate("migrations-sqlite", "passed", "exit status 0", 0.0, 0),
    ):
        gate_file(tmp_path / "parts", gate.name).write_text(json.dumps(gate.to_json()))
    file = tmp_path / "cobertura.xml"
    lines = '<line number="1" hits="3"/><line number="2" hits="0"/>'
    file.write_text(f'<coverage><class filename="hooks.js">{lines}</class></coverage>')
    options = MergeOptions(coverage_file=file, webhook_files=("hooks.js",))
    merge([tmp_path / "parts"], tmp_path / "out", options)
    (tmp_path / "matrix.json").write_text(json.dumps(MATRIX))
    (tmp_path / "load.json").write_text(json.dumps(LOAD))
    return tmp_path / "out"


def also(merged: Path) -> list[str]:
    """Give the options that name matrix and load."""
    return ["--matrix", str(merged.parent / "matrix.json"), "--load",
            str(merged.parent / "load.json")]  # fmt: skip


def told(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read what Prometheus would, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_says_what_was_merged(merged: Path) -> None:
    """Counts, ratios and seconds are the merged report's; every declared metric is there."""
    values = told(generate_latest(read_registry(merged, merged.parent / "matrix.json",
                                                merged.parent / "load.json")).decode())  # fmt: skip
    assert {name for name, _ in values} == {metric.name for metric in METRICS}
    assert values["ci_tests", (("result", "unknown"), ("suite", "e2e"))] == 1
    assert values["ci_tests", (("result", "passed"), ("suite", "security"))] == 2
    assert values["ci_run_success", ()] == 0
    assert values["ci_tests_expected", ()] == values["ci_tests_collected", ()] == len(ALL)
    assert values["ci_coverage_ratio", (("scope", "webhooks"),)] == 0.5
    assert values["ci_lint_findings", (("tool", "ruff"),)] == 3
    assert values["ci_migration_ok", (("database", "sqlite"),)] == 1
    assert values["ci_slowest_test_seconds", (("rank", "1"), ("test", ALL[0]))] == 4.5
    assert values["ci_kill_ratio", (("group", "money"),)] == pytest.approx(2 / 3)
    assert values["ci_load_dropped", (("scenario", "usage"),)] == 3
    assert values["ci_flaky_tests", (("suite", "e2e"),)] == 1
    assert len([name for name, _ in values if name == "ci_flaky_test_info"]) == 1


@pytest.mark.program("promtool")
def test_promtool_finds_nothing_amiss(merged: Path, tmp_path: Path) -> None:
    """Names, units and help are as Prometheus asks, but for one label that is agreed upon."""
    file = tmp_path / "ci.prom"
    CliRunner().invoke(app, ["metrics", "write", str(file), str(merged), *also(merged)])
    with file.open("rb") as text:
        checked = subprocess.run(
            ["promtool", "check", "metrics"],
            stdin=text,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    # The label's name is that of the dashboards; a summary would need counts that no load keeps.
    quantile = 'ci_load_latency_seconds non-summary metrics should not have "quantile" label'
    assert set(checked.stderr.splitlines()) == {quantile}


def free_port() -> int:
    """Give a port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def asked(url: str, user: str | None = None) -> Any:
    """Ask a server, as a user if one is named; None where it does not answer, or refuses."""
    request = urllib.request.Request(url)  # noqa: S310 - a server of the test's own
    if user:
        manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
        manager.add_password(None, url, user, PASSWORD, is_authenticated=True)
        handler: Any = urllib.request.HTTPBasicAuthHandler(manager)
    else:
        handler = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
    with contextlib.suppress(OSError), opener.open(request, timeout=5) as reply:
        return reply.read().decode()
    return None


@contextlib.contextmanager
def started(folder: Path, *command: str) -> Iterator[None]:
    """Run a server for the length of a block."""
    with (folder / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-pushgateway")
def test_a_real_prometheus_scrapes_what_was_pushed(merged: Path, tmp_path: Path) -> None:
    """Through a Pushgateway with Basic authentication every value arrives; a second push replaces.

    A wrong password is told, pushes nothing and fails nothing.
    """
    gate, prom = free_port(), free_port()
    url = f"http://127.0.0.1:{gate}"
    (tmp_path / "web.yml").write_text(f"basic_auth_users:\n  {USER}: {HASH}\n")
    (tmp_path / "prometheus.yml").write_text(
        "scrape_configs:\n- job_name: push\n  honor_labels: true\n  scrape_interval: 250ms\n"
        "  scrape_timeout: 250ms\n"
        f"  basic_auth: {{username: {USER}, password: {PASSWORD}}}\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{gate}']}}]\n"
    )
    listen = f"--web.listen-address=127.0.0.1:{gate}"
    # Debian has it remember pushes, unless it is told where to.
    serve = listen, "--web.config.file=web.yml", "--persistence.file=pushed.db"
    query = f"http://127.0.0.1:{prom}/api/v1/query?query=" + urllib.parse.quote(
        '{__name__=~"ci_.+"}'
    )
    with started(tmp_path, "prometheus-pushgateway", *serve):
        assert eventually(lambda: asked(f"{url}/-/ready", USER))
        wrong = pushed(merged, url, "wrong")
        assert (wrong.exit_code, "answered 401" in wrong.output) == (0, True)
        assert "ci_run_success" not in asked(f"{url}/metrics", USER)
        for _ in range(2):
            assert "pushed to" in pushed(merged, url, PASSWORD).output
        with started(
            tmp_path, "prometheus", "--config.file=prometheus.yml",
            f"--web.listen-address=127.0.0.1:{prom}", "--storage.tsdb.path=data",
        ):  # fmt: skip
            due = len(samples(merged))
            assert eventually(lambda: len(results(asked(query))) >= due)
            found = {
                (r["metric"]["__name__"], plain(r["metric"])): float(r["value"][1])
                for r in results(asked(query))
            }
    assert found == {
        (name, tuple(sorted(labels.items()))): pytest.approx(value)
        for name, labels, value in samples(merged)
    }


def samples(merged: Path) -> list[tuple[str, dict[str, str], float]]:
    """Give what ought to arrive."""
    return samples_of(read_merged(merged), matrix=MATRIX, load=LOAD)


def results(answer: str | None) -> list[dict[str, Any]]:
    """Give the series of a query's answer; none where there was no answer."""
    found: list[dict[str, Any]] = json.loads(answer)["data"]["result"] if answer else []
    return found


def plain(metric: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Give a series' own labels, once its grouping key is seen to be what it should be."""
    labels = dict(metric)
    assert labels.pop("job") == "billing-harness"
    assert labels.pop("repository") == "acme/billing"
    assert labels.pop("branch_class") == "main"
    for name in ("__name__", "instance"):
        labels.pop(name, None)
    return tuple(sorted(labels.items()))


def pushed(merged: Path, url: str, password: str) -> Any:
    """Push, as a job would."""
    variables = {
        "PUSHGATEWAY_URL": url,
        "PUSHGATEWAY_USER": USER,
        "PUSHGATEWAY_PASSWORD": password,
        "GITHUB_REPOSITORY": "acme/billing",
    }
    return CliRunner().invoke(app, ["metrics", "push", str(merged), *also(merged)], env=variables)


def test_a_dead_pushgateway_fails_nothing_and_is_told(merged: Path) -> None:
    """Nobody answers: the command says so, keeps the password to itself and ends with 0."""
    ended = pushed(merged, f"http://127.0.0.1:{free_port()}", PASSWORD)
    assert ended.exit_code == 0
    assert "the metrics were not pushed: the Pushgateway was not reached" in ended.output
    assert PASSWORD not in ended.output


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"PUSHGATEWAY_URL": "push.example.com"},
        {"PUSHGATEWAY_URL": "file:///etc/passwd"},
        {"PUSHGATEWAY_URL": "https://me:secret@push.example.com"},
        {"PUSHGATEWAY_URL": "https://push.example.com", "PUSHGATEWAY_USER": "me"},
    ],
)
def test_half_an_address_is_refused(variables: dict[str, str]) -> None:
    """No address, another scheme, a password in the address, a user without one: told, not sent."""
    with pytest.raises(SettingsError) as refused:
        gateway_of(variables)
    assert "secret" not in refused.value.message


def test_a_password_in_the_clear_is_noticed() -> None:
    """Over http to another machine it is warned of; on this machine or over https it is not."""
    named = {"PUSHGATEWAY_USER": "me", "PUSHGATEWAY_PASSWORD": "it"}
    clear = {
        url: gateway_of({"PUSHGATEWAY_URL": url, **named}).in_the_clear
        for url in ("http://push.example.com", "https://push.example.com", "http://127.0.0.1:1")
    }
    assert list(clear.values()) == [True, False, False]


@pytest.mark.parametrize(
    ("branch", "kind"),
    [("main", "main"), ("master", "main"), ("release/1.2", "release"), ("v2.1.x", "release"),
     ("feature/release-it", "other"), (None, "other")],
)  # fmt: skip
def test_branches_share_a_few_classes(branch: str | None, kind: str) -> None:
    """The grouping key never names a branch, a commit or a run, so that groups stay few."""
    assert branch_class(branch) == kind
    assert set(grouping_key(branch, None)) == {"repository", "branch_class"}


def test_what_is_no_merged_report_is_refused(tmp_path: Path) -> None:
    """A report of one run, or none, is told instead of pushing zeros."""
    place = make_part(tmp_path, 1, 1, [made(ALL[0])], selection=ALL[:1])
    ended = CliRunner().invoke(app, ["metrics", "write", str(tmp_path / "x.prom"), str(place)])
    assert "holds something else" in str(ended.exception)
    assert not (tmp_path / "x.prom").exists()


def test_every_metric_is_documented() -> None:
    """Each name that is pushed stands in docs/CI.md."""
    text = (CHECKOUT / "docs" / "CI.md").read_text(encoding="utf-8")
    assert [metric.name for metric in METRICS if metric.name not in text] == []
