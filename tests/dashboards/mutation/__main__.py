"""Runs every mutant, a line each, and writes what became of them; a run that was cut goes on.

`--render` only writes the page anew from the facts of the last run. Two services run side by side.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from tests.dashboards.mutation.report import FACTS, PAGE, render, write
from tests.dashboards.mutation.running import (
    DEFECTS,
    SEED,
    Result,
    broken_service,
    code_mutants,
    defect,
    need_nothing_red,
    query_mutants,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

_Key = tuple[str, str]
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
    need_nothing_red()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        begun = {
            (kind, name): pool.submit(broken_service, kind, name, place, text)
            for kind, name, place, text in code_mutants()
            if (kind, name) not in known
        }
        defects = (n for n in DEFECTS if ("defect", n) not in known)
        begun |= {("defect", name): pool.submit(defect, name) for name in defects}
        known |= {key: _keep(future.result()) for key, future in _in_order_of_ends(begun)}
    order = [(kind, name) for kind, name, _, _ in code_mutants()]
    return found + [known[key] for key in (*order, *(("defect", name) for name in DEFECTS))]


def _in_order_of_ends(
    begun: Mapping[_Key, Future[Result]],
) -> Iterator[tuple[_Key, Future[Result]]]:
    keys = {future: key for key, future in begun.items()}
    yield from ((keys[future], future) for future in as_completed(keys))


if __name__ == "__main__":
    if sys.argv[1:] == ["--render"]:
        PAGE.write_text(render(json.loads(FACTS.read_text("utf-8"))), encoding="utf-8")
    else:
        sys.stdout.write(f"seed {SEED}\n")
        write(_run())
