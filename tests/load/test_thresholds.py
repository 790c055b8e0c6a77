import pytest

from harness.errors import SettingsError
from suites.load.measuring.result import Result
from suites.load.measuring.thresholds import parse


def _result() -> Result:
    figures = {"p50": 5.0, "p95": 90.0, "p99": 180.0, "max": 250.0, "mean": 20.0, "count": 1000.0}
    kind = {"count": 40, "errors": 4, "latency_ms": figures, "service_ms": {"count": 0}}
    return Result(
        "x",
        scheduled=1010,
        sent=1000,
        completed=990,
        dropped=10,
        errors=5,
        latency_ms=figures,
        service_ms=figures,
        kinds={"charge": kind},
        counters={"signup_errors": 3},
        generator={"cpu": 0.5},
    )


@pytest.mark.parametrize(
    ("expression", "value", "passed"),
    [
        ("latency_ms.p99<200", 180.0, True),
        ("latency_ms.p99 <= 180", 180.0, True),
        ("service_ms.max<250", 250.0, False),
        ("errors.ratio<0.01", 0.005, True),
        ("errors.count==5", 5.0, True),
        ("dropped.ratio<0.001", 10 / 1010, False),
        ("completed.count>=1000", 990.0, False),
        ("counter:signup_errors<5", 3.0, True),
        ("counter:never_counted<1", 0.0, True),
        ("generator.cpu<0.4", 0.5, False),
        ("kind:charge.latency_ms.p95<50", 90.0, False),
        ("kind:charge.errors.ratio<0.2", 0.1, True),
        ("kind:invoice.paid.errors.ratio<0.2", None, None),
        ("kind:charge.service_ms.p95<50", None, None),
        ("kind:refund.latency_ms.p95<50", None, None),
    ],
)
def test_a_threshold_is_held_against_the_figure_it_names(
    expression: str, value: float | None, passed: object
) -> None:
    """Value and judgement are told; what nothing was measured for neither passes nor fails."""
    (held,) = parse([expression])
    told = held.judge(_result())
    assert (told["expression"], told["value"], told["passed"]) == (expression, value, passed)


@pytest.mark.parametrize(
    "expression",
    [
        "latency_ms.p98<200",
        "latency.p99<200",
        "latency_ms<200",
        "p99<200",
        "latency_ms.p99=200",
        "latency_ms.p99<fast",
        "latency_ms.p99<nan",
        "latency_ms.p99<1e999",
        "errors<1",
        "kind:charge.dropped.ratio<1",
        "kind:.latency_ms.p99<1",
        "counter:<1",
        "generator.speed<1",
        "",
    ],
)
def test_a_name_that_nothing_measures_is_an_error(expression: str) -> None:
    """A threshold with a typing mistake must not pass by being ignored."""
    with pytest.raises(SettingsError):
        parse([expression])


def test_kinds_and_counters_are_checked_where_the_scenario_tells_its_own() -> None:
    """A kind of request that the scenario does not have is told, with those that it has."""
    assert parse(["kind:charge.errors.count<1"], kinds={"charge"})
    with pytest.raises(SettingsError) as told:
        parse(["kind:chrage.errors.count<1"], kinds={"charge"})
    assert told.value.hint is not None
    assert "charge" in told.value.hint
    with pytest.raises(SettingsError):
        parse(["counter:x<1"], counters=())


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("latency_ms.p99<200", 10),
        ("latency_ms.p50<200", 500),
        ("latency_ms.max<200", 0),
        ("errors.ratio<0.01", 10.0),
        ("errors.count<7", 7.0),
        ("latency_ms.mean<3", None),
        ("latency_ms.p99>3", None),
        ("kind:charge.latency_ms.p99<3", None),
        ("generator.cpu<1", None),
    ],
)
def test_how_many_may_be_on_the_wrong_side(expression: str, allowed: float | None) -> None:
    """Of 1000 arrivals, so many may miss before the threshold cannot hold any more."""
    (held,) = parse([expression])
    assert held.allowed(1000) == allowed
