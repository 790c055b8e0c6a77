"""A load's page, tables and metrics: whole, harmless, and true to the facts."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.errors import SettingsError
from suites.load.parent.live import live_metrics, live_text
from suites.load.report import charts
from suites.load.report.exports import kinds_csv, series_csv
from suites.load.report.page import page
from tests.load.making import breach, made

VOID = {"meta", "path", "circle", "br", "link", "img"}


class Whole(HTMLParser):
    """Reads a page and holds on to what a browser would fetch, and to what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        told = dict(attrs)
        self.fetched += [tag] if tag in {"script", "iframe", "img", "link"} else []
        if "src" in told:
            self.fetched.append(told["src"] or "")
        if tag == "svg" and told.get("role") == "img":
            self.labels.append(told.get("aria-label") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def read(text: str) -> Whole:
    """Read a page, of which every element must be closed."""
    reader = Whole()
    reader.feed(text)
    assert reader.open == []
    return reader


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"series": [], "spectrum": [], "kinds": {}, "workers": [], "latency_ms": {}},
        {"model": "closed", "void_reasons": ["the generator was late"]},
        {"partial": True, "unknown_reasons": ["a worker was lost"], "errors": 3},
        {"money": {"verdict": "skipped", "reasons": ["nobody asked"]}, "service_ms": {}},
        {
            "capacity": {
                "rate": 40.0,
                "steps": [
                    {"rate": 40.0, "held": True, "latency_ms": {}, "error_ratio": 0, "broke": []}
                ],
            }
        },
    ],
    ids=["good", "nothing-sent", "void", "partial", "no-money", "capacity"],
)
def test_a_page_opens_offline_whatever_there_is_to_show(facts: dict[str, Any]) -> None:
    """Every page is well formed, fetches nothing, runs no script, and says its verdict."""
    data = made(**facts)
    text = page(data)
    told = read(text)
    assert told.fetched == []
    assert "http" not in re.sub(r"<title>.*?</title>", "", text)
    assert f"<h1>{data['outcome']}</h1>" in text


def test_charts_say_in_words_what_they_show() -> None:
    """Each of the three charts has a label for who cannot see it, and its figures as a table."""
    told = read(page(made()))
    assert len(told.labels) == 3
    assert any("Latency over time" in label for label in told.labels)
    assert any("40 ms at the 99th" in label for label in told.labels)
    assert page(made()).count("As a table") == 2


def test_who_is_out_how_much_stands_on_the_page() -> None:
    """A finding has its amount, its customer and its call; text of the target's is escaped."""
    money = {
        "verdict": "invalid",
        "reasons": [],
        "customers": 1,
        "requests": 9,
        "answered": 9,
        "refused": 0,
        "unknown": 0,
        "checks": [],
        "findings_count": 1,
        "findings": [breach(message="charged again for <b>u7</b>")],
    }
    text = page(made(money=money))
    read(text)
    assert "29.00 USD" in text
    assert "cus_42" in text
    assert "load0-17" in text
    assert "<b>u7" not in text


def test_single_and_equal_points_are_drawn() -> None:
    """One interval, a flat line and a latency of nothing are no trouble for an axis."""
    one = [{"t": 0.0, "sent": 1, "completed": 1, "p50": 2.0, "p99": 2.0, "max": 2.0}]
    assert "<circle" in charts.latency_chart(one)
    assert charts.latency_chart([{**one[0], "completed": 0}]) == ""
    assert "NaN" not in charts.rate_chart([{"t": 0.0, "sent": 0, "completed": 0}], [], 1.0)
    assert charts.spectrum_chart({"all": [[0.0, 0.0]]}) == ""


def test_tables_hold_every_interval_and_kind_and_no_formula() -> None:
    """The CSV files have a line for each; a name that a spreadsheet would run is made harmless."""
    data = made()
    data["kinds"]["=cmd()"] = data["kinds"]["fix"]
    rows = list(csv.reader(io.StringIO(kinds_csv(data))))
    assert [row[0] for row in rows] == ["kind", "all", "'=cmd()", "fix"]
    assert len(list(csv.reader(io.StringIO(series_csv(data))))) == 1 + len(data["series"])


def test_live_metrics_are_served_while_the_load_runs() -> None:
    """A scrape sees what was sent so far under names of Prometheus; before the first, none."""
    facts: list[dict[str, Any]] = []
    with live_metrics(0, lambda: facts[-1] if facts else None) as address:
        assert "load_up 0" in httpx.get(address, timeout=10, trust_env=False).text
        facts.append(made(sent=42))
        text = httpx.get(address, timeout=10, trust_env=False).text
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert (values["load_up"], values["load_sent"]) == (1, 42)
    assert values["load_latency_seconds"] > 0
    assert 'scenario="a b\\"c"' in live_text(made(scenario='a\nb"c'))


def test_a_port_that_is_taken_is_told() -> None:
    """Live metrics on somebody else's port end in a sentence, before the load starts."""
    with live_metrics(0, lambda: None) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        with pytest.raises(SettingsError, match="metrics"), live_metrics(port, lambda: None):
            pass
