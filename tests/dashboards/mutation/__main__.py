"""Runs every mutant, a line each, and writes what became of them; a run that was cut goes on.

`--render` only writes the page anew from the facts of the last run.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.dashboards.mutation.report import FACTS, PAGE, render, write
from tests.dashboards.mutation.running import (
    DEFECTS,
    SEED,
    Result,
    broken_service,
    code_mutants,
    defect,
    query_mutants,
)

_KEPT = Path("reports/dashboards-mutants.jsonl")


def _known() -> dict[tuple[str, str], Result]:
    lines = _KEPT.read_text("utf-8").splitlines() if _KEPT.exists() else []
    found = [Result(**{**fact, "red": tuple(fact["red"])}) for fact in map(json.loads, lines)]
    return {(each.kind, each.name): each for each in found}


def _keep(result: Result) -> Result:
    with _KEPT.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
    sys.stdout.write(f"{result.kind} | {result.name} | {result.status} | {result.told}\n")
    sys.stdout.flush()
    return result


def _run() -> list[Result]:
    """Run what was not run before; each result is kept at once."""
    _KEPT.parent.mkdir(parents=True, exist_ok=True)
    known = _known()
    found = [each for each in known.values() if each.kind.endswith("query")]
    found = found or [_keep(each) for each in query_mutants()]
    for kind, name, place, text in code_mutants():
        found.append(known.get((kind, name)) or _keep(broken_service(kind, name, place, text)))
    return found + [known.get(("defect", n)) or _keep(defect(n)) for n in DEFECTS]


if __name__ == "__main__":
    if sys.argv[1:] == ["--render"]:
        PAGE.write_text(render(json.loads(FACTS.read_text("utf-8"))), encoding="utf-8")
    else:
        sys.stdout.write(f"seed {SEED}\n")
        write(_run())
