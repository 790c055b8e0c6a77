"""Audits of the books that a proof has left behind, told to a gateway as each night would.

What the audit lists in its own report is the truth of what its panels show.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboards.facts import DAY_S, Facts
from dashboards.proof.hand import AUDITED
from dashboards.proof.pipeline import run_command

if TYPE_CHECKING:
    from pathlib import Path

    from dashboards.proof.world import World

WHOLE, CUT = "an audit that could read everything", "an audit that could not"
_SPAN_DAYS = 60


@dataclass
class Auditor:
    """Audits a service that runs, and remembers when an audit last could read everything."""

    folder: Path
    there: World
    gateway: str
    _succeeded_at: float = 0.0

    def audit(self, title: str) -> Facts:
        """Run an audit, or one that finds no ledger to read; give what it says of itself.

        Raises `StackError` where it says nothing.
        """
        report = self.folder / f"audit-{title.rpartition(' ')[2]}.json"
        until_s = self.there.scenario.time.snapshots[-1].mark_s + DAY_S
        words = ["--target", "reference", "--since", str(until_s - _SPAN_DAYS * DAY_S)]
        words += ["--until", str(until_s), "--settle", "0", "--json", str(report), "--push"]
        env = {**self.there.stack.environment(), "PUSHGATEWAY_URL": self.gateway}
        hand = self.there.scenario.hand
        with hand.hiding(AUDITED) if title == CUT else contextlib.nullcontext():
            run_command(self.folder, "audit", *words, **env)
        return Facts(audit=self._read(json.loads(report.read_text("utf-8"))))

    def _read(self, told: dict[str, Any]) -> dict[str, Any]:
        at_s = time.time()
        if told["verdict"] != "unknown" and not told["unread"]:
            self._succeeded_at = at_s
        sums = {(each["kind"], each["currency"] or "unknown"): each for each in told["sums"]}
        return {
            "target": told["target"],
            "counts": {key: each["count"] for key, each in sums.items()},
            "amounts": {key: each["amount_minor"] for key, each in sums.items()},
            "unread": len(told["unread"]),
            "at": at_s,
            "succeeded_at": self._succeeded_at,
        }
