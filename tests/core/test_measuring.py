from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import coverage
import pytest

from harness.measuring import COVERAGE_FILE, measured

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("end", ["os._exit(137)", "os.kill(os.getpid(), 15)", "None"])
def test_a_process_tells_what_it_executed_however_it_was_ended(tmp_path: Path, end: str) -> None:
    """What a failpoint, or the stack itself, ends in the middle is measured until then."""
    program = f"import os, simulators.billing.identifiers; {end}"
    with measured(tmp_path, "partition-1-of-1") as environment:
        subprocess.run(
            [sys.executable, "-P", "-c", program], env={**os.environ, **environment}, check=False
        )
    data = coverage.CoverageData(str(tmp_path / COVERAGE_FILE))
    data.read()
    assert any(file.endswith("billing/identifiers.py") for file in data.measured_files())
    assert data.measured_contexts() == {"partition-1-of-1"}
