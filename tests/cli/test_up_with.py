"""What runs beside a stack: found on the PATH or named by its package, scraping, and gone after."""

from __future__ import annotations

import json
import stat
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import SettingsError, StackError
from harness.stack import observers as beside
from harness.stack.addresses import Addresses
from harness.stack.observers import PROGRAMS, read_names
from tests.cli.test_up import addresses

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command

DEADLINE_S = 60.0
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def test_names_are_read_once_and_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for twice starts once; nothing is asked for by nothing."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert read_names(" alertmanager, prometheus,prometheus,") == ("prometheus", "alertmanager")
    assert read_names("") == ()


def test_a_name_that_nobody_knows_is_told() -> None:
    """A mistyped name is told with those that there are."""
    with pytest.raises(SettingsError, match="'grafana'") as refused:
        read_names("grafana")
    assert "prometheus, pushgateway, alertmanager" in (refused.value.hint or "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_missing_program_is_told_with_its_package(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything starts, it is said what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError, match="not on the PATH") as refused:
        read_names(name)
    assert refused.value.hint == f"Install it: apt-get install {PROGRAMS[name].package}"


def where(folder: Path) -> Addresses:
    """Give the addresses of a stack that does not run."""
    urls = dict.fromkeys(("stripe_url", "webhook_url", "api_docs_url", "database_url"), "x")
    keys = dict.fromkeys(
        ("webhook_secret", "operator_key", "stripe_api_key", "test_control_token"), "k"
    )
    return Addresses(
        **urls,
        **keys,
        billing_url="http://127.0.0.1:8123",
        metrics_token="mt_test_secret",
        folder=str(folder),
    )


def test_the_token_stands_in_a_file_of_its_owners_alone(tmp_path: Path) -> None:
    """Neither the configuration nor a command line holds it, and nobody else may read it."""
    urls = dict.fromkeys(PROGRAMS, "http://127.0.0.1:9")
    told = json.dumps(beside._scraping(where(tmp_path), urls, tmp_path))
    assert "mt_test_secret" not in told
    assert "127.0.0.1:8123" in told
    assert stat.S_IMODE((tmp_path / "metrics_token").stat().st_mode) == 0o600
    options = [beside._options(name, urls[name], tmp_path) for name in PROGRAMS]
    assert "mt_test_secret" not in json.dumps(options)


def asked(url: str, path: str) -> Any:
    """Read JSON from Prometheus."""
    with direct.open(url + path, timeout=10) as reply:
        return json.load(reply)["data"]


@pytest.mark.nightly
@pytest.mark.program("prometheus")
@pytest.mark.program("prometheus-pushgateway")
@pytest.mark.program("prometheus-alertmanager")
def test_a_service_is_seen_by_prometheus(command: Command) -> None:
    """Started beside a stack, Prometheus shows the service's metrics and evaluates the rules."""
    with command.start("up", "--json", "--with", ",".join(PROGRAMS)) as running:
        told = addresses(running)
        prometheus = told["prometheus_url"]
        query = urllib.parse.quote("sum by (version) (billing_build_info)")
        ends_at = time.monotonic() + DEADLINE_S
        found: list[Any] = []
        while not found and time.monotonic() < ends_at:
            found = asked(prometheus, f"/api/v1/query?query={query}")["result"]
        assert [each["metric"] for each in found] == [{"version": "unknown"}]
        groups = asked(prometheus, "/api/v1/rules")["groups"]
        assert "BillingLedgerDiffers" in {rule["name"] for g in groups for rule in g["rules"]}
        (alerts,) = asked(prometheus, "/api/v1/alertmanagers")["activeAlertmanagers"]
        assert alerts["url"].startswith(told["alertmanager_url"])
        assert told["metrics_token"] not in json.dumps(asked(prometheus, "/api/v1/status/config"))
        running.interrupt()
        assert running.finish().status == 0
