"""The proof of what is scraped: a service that runs, a pipeline that pushes, and an audit."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dashboards.facts import DAY_S, Moment
from dashboards.naming import OURS, Naming
from dashboards.proof.audited import CUT, WHOLE, Auditor
from dashboards.proof.judging import Shown, When
from dashboards.proof.moments import ask_alert, ask_query
from dashboards.proof.pipeline import FAILED, SLOW, push_run, pushgateway
from dashboards.proof.prometheus import Prometheus, prometheus
from dashboards.proof.reading import Bounds, read_facts
from dashboards.proof.timeline import JOB
from dashboards.proof.world import Wanted, World, understood, world
from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dashboards.facts import Facts
    from dashboards.observables.model import DashboardPlan
    from dashboards.proof.clockwork import Snapshot

    Tell = Callable[[str], None]

LIVE = "as it was scraped"
STRETCHED_SHARE = 0.05
"""What Prometheus may stretch a live window by, and scrapes may miss of their own requests."""
_PIPELINE, _AUDIT = ("ci", "load"), ("audit",)
_FIXED = re.compile(r"\[\d+[smhd]\]|job:")
_SCRAPED_S = 20.0


def judge_live(
    folder: Path, wanted: Wanted, made: Sequence[DashboardPlan], naming: Naming, tell: Tell
) -> tuple[Sequence[Snapshot], Bounds, list[Shown]]:
    """Play the scenario while a Prometheus scrapes it, and judge what it then shows.

    Give also the snapshots and what happened, for virtual time. Raises `StackError`.
    """
    with contextlib.ExitStack() as undo:
        undo.enter_context(understood())
        tell("the stack starts")
        there = undo.enter_context(world(wanted, folder))
        tell("a pipeline is merged and pushed")
        gateway = undo.enter_context(pushgateway(folder))
        first = push_run(FAILED, folder, gateway)
        scrapes = _scrapes(folder, there, gateway, naming)
        watching = undo.enter_context(prometheus(folder, "live", scrapes, naming))
        live = _Live(folder, there, gateway, watching, made)
        live.scraped_since(0.0)
        there.scenario.play(tell)
        tell("Prometheus is asked")
        live.judge_service(made[0])
        live.judge_pipelines(first)
        there.scenario.play_past_the_service(tell)
        tell("the books are audited")
        live.judge_audits()
        seen = there.seen()
        return seen.snapshots, read_facts(seen), live.shown


@dataclass
class _Live:
    """A stack that runs, the Prometheus that scrapes it, and what it has shown until now."""

    folder: Path
    there: World
    gateway: str
    watching: Prometheus
    made: Sequence[DashboardPlan]
    shown: list[Shown] = field(default_factory=list)

    def scraped_since(self, since_s: float, pushed: str = "ci_run_success") -> float:
        """Wait for a scrape of both that began after a moment; give when the service's was.

        At the very moment of a scrape no window is stretched at its end.
        """
        ends_at = time.monotonic() + _SCRAPED_S
        while time.monotonic() < ends_at:
            now_s = time.time()
            found = [
                self.watching.ask(f"timestamp({metric})", now_s).values
                for metric in ("billing_database_up", pushed)
            ]
            if all(found) and min(min(each.values()) for each in found) > since_s:
                return max(found[0].values())
            time.sleep(0.1)  # between two looks, bounded by the deadline
        raise StackError(
            f"Prometheus scraped nothing for {_SCRAPED_S:g} s",
            hint="Is the machine overrun? Run the proof again on its own.",
        )

    def judge_service(self, plan: DashboardPlan) -> None:
        """Ask for the whole run, whose virtual length every window has.

        A query whose own window is shorter cannot be asked so: virtual time shows it.
        """
        seen = self.there.seen()
        last_s = seen.snapshots[-1].mark_s
        length_s = last_s - seen.snapshots[0].begins_s + DAY_S
        at_s = self.scraped_since(time.time())
        when = When(LIVE, Moment(last_s, length_s, length_s), at_s, STRETCHED_SHARE)
        self._judge(plan, read_facts(seen), when, self.watching)

    def judge_pipelines(self, first: Facts) -> None:
        """Ask for the run that was pushed first, and for another that is pushed now."""
        self._judge_pushed(_PIPELINE, first, FAILED.title, self.scraped_since(time.time()))
        second = push_run(SLOW, self.folder, self.gateway)
        self._judge_pushed(_PIPELINE, second, SLOW.title, self.scraped_since(time.time()))

    def judge_audits(self) -> None:
        """Ask for what each audit told."""
        auditor = Auditor(self.folder, self.there, self.gateway)
        for title in (WHOLE, CUT):
            facts = auditor.audit(title)
            at_s = self.scraped_since(time.time(), "audit_timestamp_seconds")
            self._judge_pushed(_AUDIT, facts, title, at_s)

    def _judge_pushed(self, names: tuple[str, ...], facts: Facts, title: str, at_s: float) -> None:
        # What is pushed has names of ours, whatever an owner calls those of the service.
        there = replace(self.watching, naming=OURS)
        when = When(f"as it was pushed: {title}", Moment(at_s), at_s)
        for plan in (each for each in self.made if each.name in names):
            self._judge(plan, Bounds(facts, facts), when, there)

    def _judge(self, plan: DashboardPlan, bounds: Bounds, when: When, there: Prometheus) -> None:
        def can_be_asked(expr: str) -> bool:
            return when.name != LIVE or not _FIXED.search(expr)

        queries = ((each, query) for each in plan.observables for query in each.queries)
        self.shown += [
            ask_query(there, plan.name, each, query, bounds, when)
            for each, query in queries
            if can_be_asked(query.expr)
        ]
        self.shown += [
            ask_alert(there, plan.name, alert, bounds, when)
            for alert in plan.alerts
            if can_be_asked(alert.expr)
        ]


def _scrapes(folder: Path, there: World, gateway: str, naming: Naming) -> list[dict[str, Any]]:
    token = folder / "token"
    token.touch(0o600)
    token.write_text(there.stack.addresses.metrics_token, encoding="utf-8")
    service = there.stack.addresses.billing_url.removeprefix("http://")
    return [
        {
            "job_name": JOB,
            "authorization": {"credentials_file": str(token)},
            "static_configs": [{"targets": [service]}],
            "metric_relabel_configs": list(_renaming(naming)),
        },
        {
            "job_name": "pushgateway",
            "honor_labels": True,
            "static_configs": [{"targets": [gateway.removeprefix("http://")]}],
        },
    ]


def _renaming(naming: Naming) -> Iterator[dict[str, Any]]:
    """Give the rules by which Prometheus takes in a service's series under the owner's names."""
    for ours, own in naming.names:
        pattern = f"{ours}(_bucket|_sum|_count)?"
        told = {"source_labels": ["__name__"], "target_label": "__name__"}
        yield {**told, "regex": pattern, "replacement": f"{own}${{1}}"}
    # In two steps, for one label's new name may be another's old one.
    for ours, own in naming.labels:
        yield {"action": "labelmap", "regex": ours, "replacement": f"own_{own}"}
    for ours, _ in naming.labels:
        yield {"action": "labeldrop", "regex": ours}
    for _, own in naming.labels:
        yield {"action": "labelmap", "regex": f"own_{own}", "replacement": own}
        yield {"action": "labeldrop", "regex": f"own_{own}"}
