"""How long the suites take on the reference, from nothing to a verdict, on two cores."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure

GOAL_S = 90.0
SUITES = ("e2e", "security", "contract")
_DEADLINE_S = 600.0


def measure() -> list[Figure]:
    """Run all suites in two processes; give the whole beside its goal, and each suite's share.

    A share is the time of its tests over two processes: what is left of the whole is starting the
    stack, settling and judging. Raises `RuntimeError` where the verdict is not *valid*.
    """
    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder) / "facts.json"
        chosen = [option for suite in SUITES for option in ("--suite", suite)]
        command = [sys.executable, "-m", "harness.cli", "run", "-n", "2", *chosen]
        command += ["--report", folder, "--json", str(facts)]
        began = time.perf_counter()
        subprocess.run(command, check=False, capture_output=True, timeout=_DEADLINE_S)  # noqa: S603 - our own
        elapsed_s = time.perf_counter() - began
        run = json.loads(facts.read_text("utf-8"))
    if run["verdict"] != "valid":
        raise RuntimeError(f"the run is {run['verdict']}: {run['headline']}")
    return [
        Figure(run["headline"], "s", elapsed_s, GOAL_S, "goal"),
        *(
            Figure(f"{suite}, its tests over two processes", "s", share_s, GOAL_S, "goal of all")
            for suite in SUITES
            for share_s in [sum(t["duration_s"] for t in run["tests"] if t["suite"] == suite) / 2]
        ),
    ]
