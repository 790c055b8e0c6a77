"""Writes the tables in the documentation that follow from the code.

``python -m tools.docs_tables`` rewrites what stands between ``<!-- NAME: … -->`` and
``<!-- end -->``; with ``--check`` it changes nothing and exits 1 where a table is stale.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.reference import runbooks
from harness.operations import OPERATIONS, Operation
from simulators.billing.defects import DEFECTS
from tools.security_checklist import checklist
from tools.staging_tables import ten_customers
from tools.telemetry_tables import events_table, metrics_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
REPEATS = {
    "nature": "yes",
    "key": "by its idempotency key",
    "client_id": "by `usage_id`",
    "event_id": "by the event's id",
}


def operations_table() -> str:
    """Return every operation with its inputs, outputs and what makes a repeat safe."""
    rows = ["| operation | inputs | outputs | safe to repeat |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *(_row(operation) for operation in OPERATIONS.values())])


def _row(operation: Operation) -> str:
    outputs = [
        f"`{name}`" + ("?" if name in operation.optional_outputs else "")
        for name in operation.outputs
    ]
    if operation.lists:
        outputs.append("items of " + ", ".join(f"`{name}`" for name in operation.item_outputs))
    inputs = ", ".join(f"`{name}`" for name in operation.inputs)
    cells = (f"`{operation.name}`", inputs, ", ".join(outputs) or "none", REPEATS[operation.repeat])
    return f"| {' | '.join(cells)} |"


def kill_matrix() -> str:
    """Return the score of the last whole gauntlet, then its survivors, then each defect."""
    matrix = json.loads((ROOT / "fixtures" / "kill_matrix.json").read_text(encoding="utf-8"))
    defects: list[dict[str, Any]] = matrix["defects"]
    missed = [defect for defect in defects if not defect["killed_as_intended"]]
    suites = f"Suites: {', '.join(matrix['suites'])}"
    lines = [
        f"{matrix['headline']}. {suites}; {matrix['duration_s']:.0f} s; seed {matrix['seed']}.",
        "",
        *(_missed(missed) if missed else ["Nothing survives."]),
        "",
        *untried({defect["name"] for defect in defects}),
        "| defect | what it gets wrong | found by | in | operations | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_found(defect) for defect in defects if defect["killed_as_intended"]),
    ]
    return "\n".join(lines)


def untried(tried: set[str]) -> Iterator[str]:
    """Name the defects that are younger than the last whole gauntlet."""
    younger = [f"`{name}`" for name in DEFECTS if name not in tried]
    if younger:
        yield f"Added since, and in no whole gauntlet yet: {', '.join(younger)}."
        yield ""


def _missed(defects: list[dict[str, Any]]) -> Iterator[str]:
    yield "| survivor | what it gets wrong | what ought to find it | instead |"
    yield "| --- | --- | --- | --- |"
    for defect in defects:
        ought = ", ".join(f"`{name}`" for name in defect["found_by"])
        by = defect["killed_by"]
        instead = f"`{by['check'] or by['test']}`" if by else defect["status"]
        yield f"| `{defect['name']}` | {defect['mistake']} | {ought} | {instead} |"


def _found(defect: dict[str, Any]) -> str:
    by = defect["killed_by"]
    cells = (
        f"`{defect['name']}`",
        defect["mistake"],
        f"`{by['check'] or by['test']}`",
        f"`{by['test']}` ({by['suite']})" if by["check"] else by["suite"],
        str(defect["operations"]),
        f"{defect['seconds']:.1f}",
    )
    return f"| {' | '.join(cells)} |"


TABLES: dict[str, tuple[Path, Callable[[], str]]] = {
    "operations": (ROOT / "docs" / "PROFILE.md", operations_table),
    "kill_matrix": (ROOT / "docs" / "GAUNTLET.md", kill_matrix),
    "runbooks": (ROOT / "docs" / "DASHBOARDS.md", runbooks),
    "metrics": (ROOT / "docs" / "TELEMETRY.md", metrics_table),
    "events": (ROOT / "docs" / "TELEMETRY.md", events_table),
    "ten_customers": (ROOT / "docs" / "STAGING.md", ten_customers),
    "security_checklist": (ROOT / "docs" / "SECURITY_TESTING_CHECKLIST.md", checklist),
}


def fresh(name: str) -> tuple[Path, str, str]:
    """Return a table's file, its text as it is, and its text as it should be."""
    path, table = TABLES[name]
    text = path.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)"
    return path, text, re.sub(pattern, lambda m: f"{m[1]}{table()}\n{m[2]}", text, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    """Rewrite the tables, or only check them."""
    stale = [name for name in TABLES if fresh(name)[1] != fresh(name)[2]]
    for name in stale:
        path, _, text = fresh(name)
        sys.stdout.write(f"{path.relative_to(ROOT)}: the table {name!r} is stale\n")
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(TABLES)} tables, {len(stale)} stale\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
