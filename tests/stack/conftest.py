from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.stack.processes import MARKER, eventually, marked

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def marker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Mark every process that the test starts; fail the test if one of them outlives it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARKER, mark)
    yield mark
    assert eventually(lambda: not marked(mark)), f"left behind: {marked(mark)}"
