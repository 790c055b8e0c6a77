"""Runs every benchmark, or those named: ``python -m benchmarks [NAME …] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks import (
    billing_service,
    instrumentation,
    load,
    stripe_simulator,
    suites,
    webhook_signatures,
)

BENCHMARKS = {
    "billing_slow_stripe": billing_service.measure_slow_stripe,
    "billing_speeds": billing_service.measure_speeds,
    "load": load.measure,
    "instrumentation": instrumentation.measure,
    "stripe_simulator": stripe_simulator.measure,
    "suites": suites.measure,
    "webhook_signatures": webhook_signatures.measure,
}


def main() -> int:
    """Measure, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    figures = {}
    for name in options.names or BENCHMARKS:
        sys.stdout.write(f"{name}\n")
        before = os.getloadavg()[0]
        figures[name] = BENCHMARKS[name]()
        for figure in figures[name]:
            sys.stdout.write(f"  {figure.line()}\n")
        cores, after = os.cpu_count(), os.getloadavg()[0]
        sys.stdout.write(f"  load average {before:.1f}, then {after:.1f}, on {cores} cores\n")
        sys.stdout.flush()
    if options.json:
        data = {name: [figure.to_json() for figure in found] for name, found in figures.items()}
        options.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return 0


sys.exit(main())
