"""The reference with one line changed, in a copy that a run finds before the real one."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.cli.command import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path


def broken_reference(folder: Path, file: str, right: str, wrong: str) -> dict[str, str]:
    """Copy the simulators and change the one line of `simulators/billing/FILE` that says `right`.

    Gives the environment in which a run starts the copy. What it measures is left out of the
    coverage of the project, as the copy is gone when that is reported.
    """
    place = folder / "broken"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "simulators", place / "simulators", ignore=ignored)
    changed = place / "simulators" / "billing" / file
    text = changed.read_text("utf-8")
    assert text.count(right) == 1, f"simulators/billing/{file} has changed: break it anew"
    changed.write_text(text.replace(right, wrong), "utf-8")
    unmeasured = {name: "" for name in os.environ if name.startswith(("COVERAGE_", "COV_"))}
    return {**unmeasured, "PYTHONPATH": str(place)}
