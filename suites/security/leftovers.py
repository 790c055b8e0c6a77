"""What a target has left behind while a test was at it: what it logged, what it stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.evidence import LogWatch, stored_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.ground import Ground

_UNNAMED = "the profile names no database_url_env under [evidence], or it is not set"


def watch(ground: Ground) -> LogWatch:
    """Watch what the target logs from now on; skip where the profile says nowhere."""
    files = ground.target.profile.evidence.log_files
    if not files:
        pytest.skip("the profile names no log_files under [evidence]")
    return LogWatch(files)


def logged(log: LogWatch) -> str:
    """Give what was logged since. Raises `Unknown` where that is nothing, for it proves nothing."""
    text = log.text()
    if not text.strip():
        raise Unknown("the log files did not grow: the target seems to log somewhere else")
    return text


def stored(ground: Ground) -> list[tuple[str, str]]:
    """Give every value that is stored, each with its table and column."""
    if not ground.database_url:
        pytest.skip(_UNNAMED)
    return list(stored_texts(ground.database_url))


def files_at(pattern: str) -> list[Path]:
    """Give the files that an absolute pattern such as `/var/log/billing-*.log` names."""
    path = Path(pattern)
    return sorted(path.parent.glob(path.name))


def places_of(found_in: Callable[[str], list[str]], values: list[tuple[str, str]]) -> list[str]:
    """Say where something stands among stored values; all are searched at once, for speed."""
    if not found_in("\n".join(text for _, text in values)):
        return []
    return sorted({f"{what} in {place}" for place, text in values for what in found_in(text)})
