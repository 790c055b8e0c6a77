"""Files that everybody may read, and files that nobody else may: what the suite says of each."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from suites.security.test_data_at_rest import test_files_of_the_service_are_not_for_everybody
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = linux_only
# Or pytest would take it for a test of this folder.
hold: Any = test_files_of_the_service_are_not_for_everybody
del test_files_of_the_service_are_not_for_everybody


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that everybody may pass, as a service's often is; pytest's own is closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # passable to all, and ours
        path = Path(name)
        path.chmod(0o755)
        yield path


def looked_at(log: Path | None, database: Path | None) -> None:
    """Have the suite look at a log and a database."""
    evidence = SimpleNamespace(log_files=[str(log)] if log else [])
    billing = SimpleNamespace(target=SimpleNamespace(profile=SimpleNamespace(evidence=evidence)))
    hold(SimpleNamespace(database_url=f"sqlite:///{database}" if database else None), billing)


@pytest.mark.parametrize("what", ["log", "database"])
def test_a_file_that_everybody_may_read_is_found(folder: Path, what: str) -> None:
    """A log or a database with the rights of 644 in an open folder is a finding by its name."""
    file = folder / f"billing.{what}"
    file.write_text("what is none of others' business")
    file.chmod(0o644)
    given = (file, None) if what == "log" else (None, file)
    with pytest.raises(AssertionError, match=rf"everybody on the machine can read billing\.{what}"):
        looked_at(*given)


def test_a_file_in_a_closed_folder_is_closed(folder: Path) -> None:
    """Whoever cannot pass the folder reads nothing in it; nor does he a file that is closed."""
    file = folder / "billing.log"
    file.write_text("what is none of others' business")
    file.chmod(0o600)
    looked_at(file, file)
    file.chmod(0o644)
    folder.chmod(0o700)
    looked_at(file, file)


def test_without_files_nothing_is_said() -> None:
    """A target that names no file of its own passes nothing: the test is skipped."""
    with pytest.raises(pytest.skip.Exception, match="names no file"):
        looked_at(None, None)
