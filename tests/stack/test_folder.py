"""Tests of where a stack keeps what is thrown away."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from harness.stack import folder
from harness.stack.folder import LOCK_FILE, scratch_folder, stack_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for the one in memory, with nothing said of another place."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(folder, "_MEMORY", str(tmp_path))
    monkeypatch.setattr(folder, "_ROOM_BYTES", 1)
    return tmp_path


def test_a_stack_of_its_own_is_kept_in_memory(memory: Path) -> None:
    """A stack that was given no folder writes where no commit waits for a disk."""
    with stack_folder(None, keep=False) as found:
        assert found.parent == memory.resolve()
    assert not found.exists()


def test_a_folder_for_temporary_files_is_obeyed(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names a folder for temporary files gets it, memory or not."""
    there = memory / "there"
    there.mkdir()
    monkeypatch.setenv("TMPDIR", str(there))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with stack_folder(None, keep=False) as found:
        assert found.parent == there.resolve()


@pytest.mark.parametrize(
    ("name", "value"),
    [("_MEMORY", "/nowhere/at/all"), ("_ROOM_BYTES", 1 << 62)],
    ids=["not-there", "small"],
)
@pytest.mark.usefixtures("memory")
def test_memory_that_is_small_or_missing_is_not_used(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's tiny place in memory, or none at all, leaves the system's own folder."""
    monkeypatch.setattr(folder, name, value)
    assert scratch_folder() is None


def test_what_was_left_in_memory_a_day_ago_is_removed(memory: Path) -> None:
    """A stack that was killed leaves its memory to the next, unless it is young, or runs."""
    long_ago = time.time() - 2 * 86_400
    with stack_folder(None, keep=True) as left:
        assert left.exists()
    with stack_folder(None, keep=True) as runs:
        for each in (left, runs):
            os.utime(each, (long_ago, long_ago))
        young = memory / "billing-stack-young"
        young.mkdir()
        (young / LOCK_FILE).touch()
        with stack_folder(None, keep=False):
            assert not left.exists()
            assert runs.exists()
            assert young.exists()
