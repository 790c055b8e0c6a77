"""What every gate shares: the files that git tracks, findings, and how they are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Finding(NamedTuple):
    """One thing that is wrong, and where."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        """Give the finding as editors and CI understand it."""
        return f"{self.file}:{self.line}: {self.message}"


def tracked_files(root: Path) -> list[str]:
    """Return the paths that git tracks and that exist, relative to `root`, in order."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git is found as the user finds it
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(name for name in listed.stdout.split("\0") if name and (root / name).is_file())


def read_text(path: Path) -> str | None:
    """Return a file's text, or None for a binary one."""
    content = path.read_bytes()
    return None if b"\0" in content else content.decode(errors="replace")


def run_gate(
    name: str, select: Callable[[str], bool], examine: Callable[[Path, str], Iterator[Finding]]
) -> int:
    """Examine the tracked files under the current folder; print the result, return the exit status.

    A gate that looked at no file has proven nothing, so that is a failure too.
    """
    root = Path.cwd()
    files = [file for file in tracked_files(root) if select(file)]
    findings = [finding for file in files for finding in examine(root, file)]
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{name}: {len(files)} files, {len(findings)} findings\n")
    return 1 if findings or not files else 0
