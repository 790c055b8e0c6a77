"""The whole matrix on one machine, merge included, as the pipeline does it.

A run of everything in one piece beside it shows what the partitions save, and that they miss
nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ci.coverage import Counted, Measured
from ci.jobs import Job, Matrix, Runner
from ci.merge import Merged, MergeOptions, merge
from ci.telling import tell
from harness.cli.console import errors, output
from harness.guard import Aimed, refuse_production
from harness.naming import new_seed
from harness.partition import read_durations
from harness.report.write import prepare_file, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.partition import Durations


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What `ci local` was asked for."""

    partitions: int
    jobs: int
    whole: bool
    suites: tuple[str, ...]
    tests: tuple[str, ...]
    database: str
    seed: int | None
    coverage_min: float
    coverage_webhooks_min: float
    excuses: Path | None
    out: Path
    json_file: Path | None

    def options(self) -> tuple[str, ...]:
        """Give what every run is told."""
        chosen = [("--suite", name) for name in self.suites]
        chosen += [("--test", name) for name in self.tests]
        told = tuple(word for pair in chosen for word in pair)
        return ("--coverage", "--seeded", "--database", self.database, *told)


def run_locally(wish: Wish) -> int:
    """Run every partition, then the whole if asked, and merge; give the merge's exit status."""
    refuse_production(Aimed(), os.environ)
    runner = Runner(
        Matrix(
            partitions=wish.partitions,
            jobs=wish.jobs,
            seed=new_seed() if wish.seed is None else wish.seed,
            folder=wish.out / "parts",
            durations=wish.out / "durations.json",
            options=wish.options(),
        )
    )
    shutil.rmtree(wish.out / "parts", ignore_errors=True)  # of an earlier N, perhaps
    before = read_durations(wish.out / "durations.json")
    errors.print(f"{wish.partitions} partitions, {wish.jobs} at a time …", style="dim")
    began = time.monotonic()
    jobs = [_told(job) for job in runner.partitions()]
    merged = merge([wish.out / "parts"], wish.out / "merged", _options(wish))
    elapsed_s = time.monotonic() - began
    told = figures(jobs, elapsed_s, merged, before) | (
        _compared(runner, merged) if wish.whole else {}
    )
    tell(merged, wish.out / "merged")
    output.print_json(json.dumps(told))
    if wish.json_file:
        prepare_file(wish.json_file)
        text = json.dumps({"local": told, **merged.to_json()}, indent=2, default=str)
        write_whole(wish.json_file, text + "\n")
    return merged.exit_status


def figures(
    jobs: Sequence[Job], elapsed_s: float, merged: Merged, before: Durations
) -> dict[str, Any]:
    """Say how long it took, how even the shares were, and whether the union is every test once.

    `planned` is how even they would be if each test cost what it did `before`: a machine that is
    busy with other things moves what is measured, not what was planned.
    """
    parts = [part.report.partition for part in merged.parts]
    own = [test for facts in parts for test in facts.own]
    return {
        "partitioned_s": round(elapsed_s, 1),
        "partitions_s": {job.name: round(job.duration_s, 1) for job in jobs},
        "sum_of_partitions_s": round(sum(job.duration_s for job in jobs), 1),
        "tests_s": {str(p.report.partition.index): round(p.tests_s, 1) for p in merged.parts},
        "slowest_to_mean": merged.slowest_to_mean and round(merged.slowest_to_mean, 3),
        "planned_slowest_to_mean": _planned([facts.own for facts in parts], before),
        "collected": len({test for facts in parts for test in facts.selection}),
        "in_a_partition": len(set(own)),
        "twice": len(own) - len(set(own)),
    }


def _planned(shares: Sequence[Sequence[str]], before: Durations) -> float | None:
    if not before.tests or not shares:
        return None
    median_s = statistics.median(before.tests.values())
    loads = [sum(before.tests.get(test, median_s) for test in share) for share in shares]
    return round(max(loads) / statistics.mean(loads), 3)


def _compared(runner: Runner, merged: Merged) -> dict[str, Any]:
    """Run everything in one piece, and hold its time and coverage against the partitions'."""
    errors.print("everything in one piece …", style="dim")
    job = _told(runner.whole())
    out = job.folder.parent.parent / "whole"
    alone = merge([job.folder], out, MergeOptions(coverage_min=0, coverage_webhooks_min=0))
    both = [
        Measured() if isinstance(each.measured, str) else each.measured for each in (alone, merged)
    ]
    whole, parted = ratios = [each.ratio() for each in both]
    return {
        "serial_s": round(job.duration_s, 1),
        "serial_verdict": alone.results.verdict,
        "serial_coverage": whole and round(whole, 5),
        "partitioned_coverage": parted and round(parted, 5),
        "coverage_difference": None if None in ratios else round((parted or 0) - (whole or 0), 5),
        "executed_in_one_alone": differing(*both),
    }


def differing(whole: Measured, parted: Measured) -> list[str]:
    """Name the lines that were executed wholly in only one of both, as editors take them.

    A line counts as missing where one of its branches is.
    """
    told = []
    for file in sorted({*whole.files, *parted.files}):
        missing = [set(each.files.get(file, Counted()).missing) for each in (whole, parted)]
        lines = sorted(missing[0] ^ missing[1])
        if lines:
            told.append(f"{file}:{','.join(map(str, lines))}")
    return told


def _options(wish: Wish) -> MergeOptions:
    return MergeOptions(
        partitions=wish.partitions,
        coverage_min=wish.coverage_min,
        coverage_webhooks_min=wish.coverage_webhooks_min,
        excuses=wish.excuses,
        record=wish.out / "record.jsonl",
        durations=wish.out / "durations.json",
    )


def _told(job: Job) -> Job:
    why = f" ({job.trouble})" if job.trouble else ""
    errors.print(f"{job.name}: {job.duration_s:.1f} s{why}")
    return job
