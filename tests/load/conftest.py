"""What tests of whole load commands share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Give the command line; fail the test if a process of it outlives the test."""
    monkeypatch.setattr("tests.cli.command.DEADLINE_S", 900.0)  # full size takes minutes
    given = Command(tmp_path, uuid.uuid4().hex)
    yield given
    assert given.nothing_left(), f"left behind: {given.left()}"
