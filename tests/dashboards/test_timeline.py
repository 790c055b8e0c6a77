"""Snapshots as a stretch of virtual time: two instances, of which no count is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dashboards.facts import Facts
from dashboards.levels import LEVELS
from dashboards.objectives import Objectives
from dashboards.observables import plans
from dashboards.proof.clockwork import STEP_S, Snapshot
from dashboards.proof.moments import judge_moments
from dashboards.proof.prometheus import Answer, Prometheus
from dashboards.proof.reading import Bounds
from dashboards.proof.timeline import shared

if TYPE_CHECKING:
    from dashboards.proof.clockwork import Knows

BEGAN_S = 1_800_000_000
NAME = "billing_payment_duration_seconds"


def parts_of(page: str) -> list[tuple[str, str, float, tuple[float, float]]]:
    """Give name, labels and value of each sample, and what each instance tells of it."""
    return [
        (sample.name, str(sorted(sample.labels.items())), sample.value, parts)
        for family in text_string_to_metric_families(page)
        for sample, parts in shared(family)
        if family.type != "gauge"
    ]


@settings(max_examples=25)
@given(st.lists(st.floats(0.001, 30), max_size=12), st.floats(0.001, 30))
def test_two_instances_tell_what_one_has_told(before: list[float], duration_s: float) -> None:
    """What both tell adds up to the whole, bucket by bucket, and of neither does a count fall."""
    pages = []
    registry = CollectorRegistry()
    distribution = Histogram(NAME, "Charges.", ["operation"], registry=registry)
    for each in (*before, None, duration_s):
        if each is None:
            pages.append(generate_latest(registry).decode())
        else:
            distribution.labels("charge").observe(each)
    pages.append(generate_latest(registry).decode())
    earlier = {(name, own): parts for name, own, _, parts in parts_of(pages[0])}
    for name, own, value, parts in parts_of(pages[1]):
        assert sum(parts) == pytest.approx(value)
        if not name.endswith("_sum"):
            assert all(a <= b for a, b in zip(earlier.get((name, own), (0, 0)), parts, strict=True))


def test_of_a_gauge_both_instances_tell_the_same() -> None:
    """Both read one database."""
    page = "# TYPE billing_webhook_backlog gauge\nbilling_webhook_backlog 3\n"
    (family,) = text_string_to_metric_families(page)
    assert [parts for _, parts in shared(family)] == [(3.0, 3.0)]


class Recording(Prometheus):
    """A Prometheus that gives nothing, and remembers what it was asked."""

    def ask(self, expr: str, at_s: float) -> Answer:
        """Remember the query."""
        ASKED.append((expr, at_s))
        return Answer({})


ASKED: list[tuple[str, float]] = []


def asked(knows: Knows) -> list[str]:
    """Give the queries that are asked of a second snapshot, of which so much is known."""
    ASKED.clear()
    first = Snapshot("first", BEGAN_S, BEGAN_S + STEP_S, 0.0, "")
    second = Snapshot("then", BEGAN_S, BEGAN_S + 2 * STEP_S, 0.0, "", 0.0, knows)
    nothing = Bounds(Facts(), Facts())
    judge_moments(plans(Objectives())[0], nothing, [first, second], Recording("http://nowhere"))
    return [expr for expr, at_s in ASKED if at_s == second.mark_s]


def test_where_the_books_were_written_to_only_they_are_asked() -> None:
    """Counters cannot know of a row that the service did not write; gauges must."""
    whole, books = asked("all"), asked("books")
    assert 0 < len(books) < len(whole)
    assert not [expr for expr in books if "_total" in expr or "_bucket" in expr]
    for gauge in LEVELS:
        assert any(gauge in expr for expr in books), gauge
    assert all("billing_database_up" in expr for expr in asked("nothing"))


def test_one_segment_is_asked_for_alone() -> None:
    """Each query with the variable is asked once with everything and once with one segment."""
    chosen = [expr for expr in asked("all") if 'customer_segment=~"marketplace"' in expr]
    assert len(chosen) >= 5
