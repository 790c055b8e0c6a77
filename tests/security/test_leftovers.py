"""What a target leaves behind and the suite cannot read: its tests are *unknown*, and say why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from suites.security.leftovers import logged, stored, watch

if TYPE_CHECKING:
    from pathlib import Path


def ground(log_files: list[str], database_url: str | None = None) -> Any:
    """Give a ground whose profile names this evidence."""
    profile = SimpleNamespace(evidence=SimpleNamespace(log_files=log_files))
    return SimpleNamespace(target=SimpleNamespace(profile=profile), database_url=database_url)


def test_a_log_that_was_rotated_away_proves_nothing(tmp_path: Path) -> None:
    """A log that is gone, or begun anew and empty, holds no secret because it holds nothing."""
    file = tmp_path / "billing.log"
    file.write_text("a line of before\n")
    log = watch(ground([str(file)]))
    file.unlink()
    with pytest.raises(Unknown, match="log somewhere else"):
        logged(log)
    file.write_text("")
    with pytest.raises(Unknown, match="log somewhere else"):
        logged(log)


def test_a_log_that_is_no_file_is_unknown(tmp_path: Path) -> None:
    """What stands at the log's place and cannot be read as a file is told as that."""
    place = tmp_path / "billing.log"
    place.mkdir()
    log = watch(ground([str(place)]))
    with pytest.raises(Unknown, match="a log file cannot be read"):
        logged(log)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql+psycopg"])
def test_a_database_that_refuses_is_unknown(tmp_path: Path, kind: str) -> None:
    """A database that is not there, or lets nobody in, is told without its address."""
    url = f"{kind}://reader:opensesame@127.0.0.1:9/billing"
    with pytest.raises(Unknown, match="the database cannot be read") as raised:
        stored(ground([], f"sqlite:///{tmp_path}/none.sqlite" if kind == "sqlite" else url))
    assert "opensesame" not in str(raised.value)


def test_evidence_that_is_not_named_is_skipped() -> None:
    """Where a profile says nowhere what is logged or stored, the tests of it do not apply."""
    with pytest.raises(pytest.skip.Exception, match="log_files"):
        watch(ground([]))
    with pytest.raises(pytest.skip.Exception, match="database_url_env"):
        stored(ground([]))
