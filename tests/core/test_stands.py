from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness import stands as module
from harness.checks.verdict import CheckVerdict, Finding
from harness.ground import Plan
from harness.running import Running, StartOptions
from harness.session import Customer
from harness.stands import Stands, stands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Give the plan of a run with a folder of its own."""
    return Plan("reference", 7, "abc", str(tmp_path))


def ups(count: int) -> list[Running]:
    """Give running stacks, as far as a profile asks for them."""
    names = ("BILLING_URL", "STRIPE_URL", "OPERATOR_KEY", "TEST_CONTROL_TOKEN", "METRICS_TOKEN")
    rest = ("WEBHOOK_SECRET", "DATABASE_URL", "LOG_DIR", "MAIL_DIR", "FOLDER")
    return [
        Running({f"STACK_{name}": f"http://127.0.0.1:{1 + place}" for name in (*names, *rest)})
        for place in range(count)
    ]


@pytest.fixture
def two(plan: Plan) -> Iterator[Stands]:
    """Give the stands of a run over two targets."""
    made = Stands(plan, ups(2), shared=False)
    yield made
    made.close()


def test_every_worker_has_a_target_of_its_own(two: Stands) -> None:
    """Two workers are seated on two targets, and neither waits for the other's turn."""
    seated = [two.seat("gw0"), two.seat("gw1")]
    assert [each.variables["STACK_BILLING_URL"][-1] for each in seated] == ["1", "2"]
    assert not any(each.shared for each in seated)


def test_who_replaces_a_dead_worker_takes_its_target(two: Stands) -> None:
    """The target of a worker that died is free for the next, and for nobody before."""
    first, second = two.seat("gw0"), two.seat("gw1")
    two.unseat("gw1")
    assert two.seat("gw2") == second
    two.unseat("gw0")
    assert two.seat("gw3") == first


def test_workers_that_share_a_target_take_turns(plan: Plan) -> None:
    """Where there is one target for all, every worker has the same plan, and says so."""
    one = Stands(plan, ups(1), shared=True)
    assert one.seat("gw0") == one.seat("gw1") == one.plans[0]
    assert one.plans[0].shared
    one.close()


def test_customers_belong_to_the_target_they_were_made_on(two: Stands) -> None:
    """A dead worker's customers stay with its target; the controlling process has the first."""
    two.seat("gw0")
    two.seat("gw1")
    two.unseat("gw1")
    for who, worker in (("a", "gw0"), ("b", "gw1"), ("c", None)):
        two.take_over([Customer(who, None, None)], worker)
    assert [[each.id for each in own] for own in two.customers] == [["a", "c"], ["b"]]


@pytest.mark.parametrize(
    ("own", "database", "workers", "count"),
    [
        ("reference", "sqlite", 3, 3),
        ("reference", "postgres", 2, 2),
        ("reference", "sqlite", 0, 1),
        ("reference", "postgresql://somebody@elsewhere/billing", 3, 1),
        (None, "sqlite", 3, 1),
    ],
)
def test_only_what_the_harness_starts_is_multiplied(  # noqa: PLR0917 - a case's facts, by name
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
    own: str | None,
    database: str,
    workers: int,
    count: int,
) -> None:
    """A stack for each worker, with a seed for each; one of what is somebody else's."""
    profile = SimpleNamespace(target=SimpleNamespace(stack=own))
    source: Any = SimpleNamespace(file=SimpleNamespace(profile=profile))
    seeds: list[int] = []
    stopped: list[int] = []

    class Up:
        def __enter__(self) -> Running:
            return ups(1)[0]

        def __exit__(self, *_: object) -> None:
            stopped.append(1)

    def start(_: object, seed: int, __: object) -> Up:
        seeds.append(seed)
        return Up()

    monkeypatch.setattr(module, "running", start)
    with stands(source, plan, StartOptions(database), workers) as made:
        assert len(made.plans) == count
        assert made.plans[0].shared is (workers > count)
    assert sorted(seeds) == [plan.seed + place for place in range(count)]
    assert len(stopped) == count


def verdict(kind: Any, customers: int, *who: str) -> CheckVerdict:
    """Give what a check says of so many customers, and who is out."""
    findings = tuple(Finding("is out", customer=each) for each in who)
    return CheckVerdict("totals", "…", kind, customers, findings, facts=customers)


@pytest.mark.parametrize(
    ("kinds", "joined"),
    [
        (("valid", "invalid"), "invalid"),
        (("unknown", "valid"), "unknown"),
        (("unknown", "invalid"), "invalid"),
        (("skipped", "valid"), "valid"),
        (("skipped", "skipped"), "skipped"),
    ],
)
def test_the_gravest_verdict_counts(kinds: tuple[Any, Any], joined: str) -> None:
    """What one target's books say is not outvoted by another's, and nothing found is lost."""
    both = [verdict(kinds[0], 2, "a"), verdict(kinds[1], 3, "b")]
    found = module._joined(both)
    assert (found.kind, found.examined, found.facts) == (joined, 5, 5)
    assert [finding.customer for finding in found.findings] == ["a", "b"]


def test_a_secret_of_any_target_reaches_no_report(plan: Plan) -> None:
    """The one redactor of the controlling process knows the secrets of all targets."""
    running = ups(2)
    secret = "op_test_of_the_second_stack_alone"
    other = Running({**running[1].variables, "STACK_OPERATOR_KEY": secret})
    made = Stands(plan, [running[0], other], shared=False)
    assert secret not in made.grounds[0].redactor.text(f"it said {secret}")
    made.close()
