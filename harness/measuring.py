"""Measures how much of the reference service a run executes.

The service is a process of its own, so what is known is what it executed, by run, and not by which
test: the context of every line is the partition that executed it. A target that the harness does
not start as Python is measured by whoever owns it.
"""

from __future__ import annotations

import contextlib
import importlib.util
from typing import TYPE_CHECKING

from harness.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# No leading dot: uploads of artifacts leave hidden files out, and a hole would look like a whole.
COVERAGE_FILE = "coverage.db"
SOURCE = "simulators.billing"
# Mistakes on purpose, which no right run makes.
OMITTED = ("*/billing/defects/*",)


@contextlib.contextmanager
def measured(folder: Path, context: str) -> Iterator[dict[str, str]]:
    """Give the environment in which a Python process is measured; afterwards `folder` holds it all.

    Paths are kept relative to the current folder, so that data of several machines is about the
    same files. Raises `SettingsError` where coverage.py is not installed.
    """
    if importlib.util.find_spec("coverage") is None:
        raise SettingsError(
            "--coverage needs coverage.py, which is not installed", hint="pip install coverage"
        )
    import coverage

    file = (folder / COVERAGE_FILE).resolve()
    for left in folder.glob(f"{COVERAGE_FILE}*"):
        left.unlink()
    measuring = coverage.Coverage(
        data_file=str(file),
        data_suffix=True,
        config_file=False,
        branch=True,
        source_pkgs=[SOURCE],
        omit=list(OMITTED),
        context=context,
    )
    for option, value in {"relative_files": True, "sigterm": True, "parallel": True}.items():
        measuring.set_option(f"run:{option}", value)
    # What a failpoint ends in the middle has executed what it has executed.
    measuring.set_option("run:patch", ["_exit"])
    try:
        yield {"COVERAGE_PROCESS_CONFIG": measuring.config.serialize()}
    finally:
        parts = sorted(map(str, folder.glob(f"{COVERAGE_FILE}.*")))
        if parts:
            whole = coverage.Coverage(data_file=str(file), config_file=False)
            whole.set_option("run:relative_files", True)  # noqa: FBT003 - coverage's own signature
            whole.combine(parts)
            whole.save()
