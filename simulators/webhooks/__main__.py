"""Runs the commands alone: ``python -m simulators.webhooks send …``."""

from __future__ import annotations

import sys

from harness.cli import build_app
from simulators.webhooks.commands import app

if __name__ == "__main__":
    frame = build_app()
    frame.add_typer(app, name="webhooks")
    frame(["webhooks", *sys.argv[1:]], prog_name="billing-harness")
