"""`dashboards push`: all of the dashboards come into a Grafana, or it is as it was before."""

from __future__ import annotations

import copy
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.build import Wanted, artefacts
from dashboards.difference import changes, lost
from dashboards.grafana_api import Grafana
from tests.dashboards.fake_grafana import TOKEN, FakeGrafana, fake_grafana
from tests.dashboards.test_commands import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = ("billing", "ci", "load", "audit")
BILLING, CI, LOAD, AUDIT = (f"billing-harness-{name}" for name in NAMES)


@pytest.fixture
def grafana(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGrafana]:
    """Run a server that keeps to Grafana's API, with its address and token in the environment."""
    with fake_grafana() as fake:
        monkeypatch.setenv("GRAFANA_URL", fake.url)
        monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
        yield fake


def written(fake: FakeGrafana) -> list[str]:
    """Give what was asked of it that writes."""
    return [a for a in fake.asked if not a.startswith("GET") and a != "POST /api/ds/query"]


def said(outcome: Any) -> str:
    """Give all that a command told a person."""
    return " ".join(f"{outcome.output} {outcome.stderr}".split())


def test_all_dashboards_come_in_and_a_second_time_changes_nothing(grafana: FakeGrafana) -> None:
    """They are saved by uid into a folder, read back, each query is run; then all is as it is."""
    told = run("push")
    assert told.exit_code == 0, said(told)
    assert set(grafana.dashboards) == {BILLING, CI, LOAD, AUDIT}
    assert grafana.folders == {"billing-harness": "Billing"}
    assert "4 of 4 changed on Grafana 11.6.0" in said(told)
    assert grafana.asked.count("POST /api/ds/query") > 50
    grafana.asked.clear()
    again = run("push", "--json")
    facts = json.loads(again.output)
    assert [each["lines"] for each in facts["dashboards"]] == [[], [], [], []]
    assert written(grafana) == []
    assert facts["queries"] > 60
    assert facts["without_data"] == []


def test_a_dry_run_tells_the_difference_and_writes_nothing(grafana: FakeGrafana) -> None:
    """What would be added, removed and changed is told panel by panel."""
    run("push")
    old = grafana.dashboards[BILLING]
    old["panels"][1]["title"] = "Mine"
    old["panels"][2]["options"] = {}
    grafana.homes[BILLING] = ""
    before = copy.deepcopy(grafana.dashboards)
    grafana.asked.clear()
    told = run("push", "--dry-run")
    assert told.exit_code == 0
    for line in (
        "+ panel “Subscriptions created, per 5 minutes”", "- panel “Mine”",
        "~ panel “Payment success”: options", "~ folder: from the root to billing-harness",
        "1 of 4 would change; nothing was written",
    ):  # fmt: skip
        assert line in said(told)
    assert written(grafana) == []
    assert grafana.dashboards == before


def on(time: int, answer: tuple[int, Any]) -> Callable[[], tuple[int, Any] | None]:
    """Fail one time, and let pass what comes before and after."""
    calls = iter([*[None] * (time - 1), answer])
    return lambda: next(calls, None)


def test_what_somebody_saves_in_the_meantime_stays(grafana: FakeGrafana) -> None:
    """A version that was not looked at is never saved over, and not put back either."""
    run("push")
    grafana.dashboards[BILLING]["refresh"] = "1m"
    grafana.folders.clear()

    def meanwhile() -> None:
        grafana.dashboards[BILLING] |= {"version": 9, "title": "Theirs"}

    grafana.faults["POST /api/folders"] = meanwhile
    told = run("push")
    assert told.exit_code == 2
    assert "answered 412 The dashboard has been changed by someone else" in said(told)
    assert grafana.dashboards[BILLING]["title"] == "Theirs"
    assert grafana.dashboards[BILLING]["version"] == 9


FAILURES: dict[str, tuple[str, tuple[int, Any]]] = {
    "refused": ("POST /api/dashboards/db", (403, {"message": "Access denied"})),
    "changed by somebody else": (
        "POST /api/dashboards/db", (412, {"message": "changed", "status": "version-mismatch"}),
    ),
    "broken": ("POST /api/dashboards/db", (500, b"<html>")),
    "no answer though it was done": ("POST /api/dashboards/db", (0, b"")),
    "unreadable": (f"GET /api/dashboards/uid/{LOAD}", (200, {"dashboard": 5})),
    "no results": ("POST /api/ds/query", (502, {"message": "Bad gateway"})),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("was_there", [True, False], ids=["before", "never before"])
def test_nothing_is_half_imported(
    grafana: FakeGrafana,
    name: str,
    was_there: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Whatever fails in the middle, Grafana holds what it held: contents, folders, nothing new."""
    if was_there:
        grafana.folders = {"theirs": "Theirs", "billing-harness": "Billing"}
        for uid in (BILLING, CI, LOAD, AUDIT):
            grafana.dashboards[uid] = {"uid": uid, "id": 7, "version": 3, "title": "Older"}
            grafana.homes[uid] = "theirs"
    before = {uid: held["title"] for uid, held in grafana.dashboards.items()}
    homes, folders = dict(grafana.homes), dict(grafana.folders)
    path, answer = FAILURES[name]
    # What is read once before anything is written fails when it is read back.
    grafana.faults[path] = on(2 if "uid" in path else 3, answer)
    told = run("push")
    assert told.exit_code == 2, said(told)
    assert {uid: held["title"] for uid, held in grafana.dashboards.items()} == before
    assert grafana.homes == homes
    assert grafana.folders == folders


def test_a_query_that_fails_takes_everything_back(grafana: FakeGrafana) -> None:
    """The data source's own words are told by panel, the exit status is 1, nothing stays."""

    def value(expr: str) -> float | None:
        if "billing_revenue_24h_cents" in expr:
            raise ValueError("parse error: unexpected end of input")
        return None

    grafana.value = value
    told = run("push")
    assert told.exit_code == 1, said(told)
    assert "Revenue by plan, last 24 h A: parse error" in said(told)
    assert "put back: folder billing-harness is as it was" in said(told)
    assert (grafana.dashboards, grafana.folders) == ({}, {})


def test_a_query_without_a_result_takes_everything_back(grafana: FakeGrafana) -> None:
    """An answer that leaves a query out is no answer to it."""
    grafana.faults["POST /api/ds/query"] = lambda: (200, {"results": {"Z": {"frames": []}}})
    told = run("push")
    assert told.exit_code == 1
    assert "Payment success A: nothing came back of it" in said(told)
    assert grafana.dashboards == {}


def test_what_does_not_come_back_as_sent_takes_everything_back(grafana: FakeGrafana) -> None:
    """A Grafana that drops a part of a panel is told by its path."""
    grafana.keep = lambda data: {**data, "refresh": ""}
    told = run("push")
    assert told.exit_code == 1
    assert "read back: Billing: refresh did not come back as it was sent" in said(told)
    assert grafana.dashboards == {}


def test_what_cannot_be_put_back_is_shouted(grafana: FakeGrafana) -> None:
    """A restore that fails is named, with where the earlier version is."""
    grafana.faults["POST /api/ds/query"] = lambda: (500, {})
    grafana.faults[f"DELETE /api/dashboards/uid/{CI}"] = lambda: (403, {"message": "no"})
    told = run("push")
    assert told.exit_code == 2
    assert f"dashboard {CI} is NOT AS IT WAS" in said(told)
    assert set(grafana.dashboards) == {CI}
    assert grafana.folders == {"billing-harness": "Billing"}, "it is not empty"


def test_a_folder_that_somebody_else_made_is_not_deleted(grafana: FakeGrafana) -> None:
    """A folder that came to be in the same moment is theirs: it stays, and nothing is written."""
    grafana.faults["GET /api/folders/billing-harness"] = lambda: (404, {"message": "not found"})
    grafana.folders["billing-harness"] = "Theirs"
    told = run("push")
    assert told.exit_code == 2
    assert "answered 409" in said(told)
    assert grafana.folders == {"billing-harness": "Theirs"}
    assert "nothing was changed" in said(told)


def health(status: int, body: Any) -> Callable[[FakeGrafana], None]:
    """Plant what the first request is answered with."""
    return lambda fake: fake.faults.update({"GET /api/health": lambda: (status, body)})


def provision(fake: FakeGrafana) -> None:
    """Have one of the dashboards come from a file there."""
    fake.dashboards[CI], fake.homes[CI] = {"uid": CI, "title": "x"}, ""
    fake.provisioned.add(CI)


REFUSALS: dict[str, tuple[Callable[[FakeGrafana], Any], str]] = {
    "old": (lambda g: setattr(g, "version", "9.5.2"), "is Grafana 9.5.2"),
    "no grafana": (health(200, b"ok"), "is no Grafana"),
    "login page": (health(302, b""), "was answered 302"),
    "ill": (health(503, {"database": "failing"}), "answered 503"),
    "ill, politely": (health(200, {"version": "11.6.0", "database": "failing"}), "is failing"),
    "other data source": (
        lambda g: g.datasources.update(mimir=g.datasources.pop("prometheus")),
        "Give one that is: --datasource mimir",
    ),
    "no prometheus": (lambda g: g.datasources.update(prometheus="loki"), "is no Prometheus"),
    "no data source": (lambda g: g.datasources.clear(), "It has none."),
    "provisioned": (provision, "is provisioned from a file"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_take_them_is_told_before_anything_is_written(
    grafana: FakeGrafana, name: str
) -> None:
    """An old Grafana, another program, a data source of another name: status 2, and why."""
    plant, says = REFUSALS[name]
    plant(grafana)
    told = run("push")
    assert told.exit_code == 2
    assert says in said(told)
    assert written(grafana) == []


def test_a_wrong_token_is_told_and_never_shown(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that Grafana does not know, and none at all, each have their next step."""
    monkeypatch.setenv("GRAFANA_TOKEN", "glsa_somebody_elses")
    told = run("push")
    assert told.exit_code == 2
    assert "answered 401 Invalid API key" in said(told)
    assert "glsa_somebody" not in said(told)
    monkeypatch.delenv("GRAFANA_TOKEN")
    assert "GRAFANA_TOKEN is not set" in said(run("push"))
    monkeypatch.delenv("GRAFANA_URL")
    assert "no Grafana was named" in said(run("push"))
    assert written(grafana) == []


@pytest.mark.parametrize("url", ["grafana.example.com", "http://127.0.0.1:1", "http://[x"])
def test_an_address_that_is_none_is_told(grafana: FakeGrafana, url: str) -> None:
    """A word that is no address, and one at which nothing answers, are told without a traceback."""
    told = run("push", "--grafana", url)
    assert told.exit_code == 2
    assert told.exception is None or isinstance(told.exception, SystemExit)
    assert written(grafana) == []


def test_a_grafana_that_hangs_is_left(grafana: FakeGrafana) -> None:
    """An answer that does not come within the deadline ends it."""
    ends = threading.Event()

    def hang() -> tuple[int, Any] | None:
        ends.wait(20)
        return None

    grafana.faults["GET /api/health"] = hang
    with Grafana(grafana.url, TOKEN, timeout_s=0.2) as there:
        with pytest.raises(Exception, match="timeout"):
            there.version()
        ends.set()


def test_production_is_refused(grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host or an environment that speaks of production gets nothing."""
    told = run("push", "--grafana", "https://grafana.prod.example.com")
    assert told.exit_code == 2
    assert "production_environment" in said(told)
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert "production" in said(run("push"))
    assert grafana.asked == []


def test_files_of_an_owners_own_are_brought(grafana: FakeGrafana, tmp_path: Path) -> None:
    """`--from` takes what `build` wrote; a file that is no dashboard, or none, is told."""
    (tmp_path / "billing_dashboard.json").write_text(artefacts(Wanted())["billing_dashboard.json"])
    assert run("push", "--from", str(tmp_path), "--folder", "own").exit_code == 0
    assert set(grafana.dashboards) == {BILLING}
    assert grafana.homes[BILLING] == "own"
    (tmp_path / "x_dashboard.json").write_text("{")
    assert "is no dashboard" in said(run("push", "--from", str(tmp_path)))
    (tmp_path / "x_dashboard.json").write_text("{}")
    assert "without uid or title" in said(run("push", "--from", str(tmp_path)))
    assert "there is no dashboard in" in said(run("push", "--from", str(tmp_path / "none")))


def test_differences_are_of_content_and_not_of_grafanas_numbers() -> None:
    """Ids and versions differ always; what Grafana adds is no loss; an empty value is none."""
    ours = {"title": "a", "panels": [{"title": "p", "links": []}]}
    theirs = {"id": 4, "version": 9, "schemaVersion": 42, **ours, "panels": [{"title": "p"}]}
    assert changes(theirs, ours) == []
    assert list(lost(ours, {**theirs, "extra": 1})) == []
    assert list(lost(ours, {**theirs, "panels": []})) == ["panels"]
