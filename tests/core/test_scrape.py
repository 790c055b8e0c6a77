from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.errors import Unknown
from harness.scrape import scrape
from harness.target.profile import Metrics
from harness.target.wire import NoReply, Reply

TEXT = b"""# TYPE paid counter
paid_total{plan="pro",how="card"} 3
paid_total{plan="pro",how="debit"} 4
paid_total{plan="payg",how="card"} 5
"""
WHERE = Metrics(url="http://metrics.test/metrics", headers={"X-Token": "t"})


@pytest.mark.parametrize(
    ("series", "total"),
    [
        ("paid_total", 12),
        ('paid_total{plan="pro"}', 7),
        ('paid_total{how="card", plan="pro"}', 3),
        ("paid", 0),
        ('paid_total{plan="trial"}', 0),
    ],
)
def test_a_series_is_what_its_labels_select(series: str, total: float) -> None:
    """Samples whose labels hold what a series names are added up; none of them is zero."""
    reading = scrape(WHERE, lambda _: Reply(200, (), TEXT))
    assert (reading.total(series), reading.shows(series)) == (total, total > 0)


@pytest.mark.parametrize(
    "reply",
    [
        NoReply("too_large", sent=True),
        Reply(401, (), b""),
        Reply(200, (), b"\xff\xfe"),
        Reply(200, (), b"<html>paid 1 2 3 4</html>"),
        Reply(200, (), b'paid{plan="pro} x'),
    ],
)
def test_metrics_that_cannot_be_read_are_unknown(reply: Reply | NoReply) -> None:
    """No answer, a refusal and what is no metrics text prove nothing, and break nothing."""
    with pytest.raises(Unknown, match="the metrics"):
        scrape(WHERE, lambda _: reply)


@pytest.mark.parametrize("series", ["", "a b", "paid{plan=pro}", "1paid", 'paid{plan="pro"'])
def test_a_profile_names_series_as_prometheus_does(series: str) -> None:
    """What is no series is a mistake in the profile."""
    with pytest.raises(ValidationError, match="a series"):
        Metrics(url="http://metrics.test", revenue=series)
