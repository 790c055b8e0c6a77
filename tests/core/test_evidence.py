"""What a target leaves behind is read whole, and what cannot be read is said."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.evidence import LogWatch, stored_texts
from harness.transport import spare_address

if TYPE_CHECKING:
    from pathlib import Path


def test_only_what_is_logged_from_now_on_is_read(tmp_path: Path) -> None:
    """Earlier lines are left out; later ones come from every file that fits, new ones too."""
    (tmp_path / "billing-1.log").write_text("before\n")
    log = LogWatch([f"{tmp_path}/billing-*.log"])
    with (tmp_path / "billing-1.log").open("a") as file:
        file.write("after\n")
    (tmp_path / "billing-2.log").write_text("begun\n")
    (tmp_path / "other.log").write_text("none of it\n")
    assert log.text() == "after\n\nbegun\n"


def test_a_log_that_was_begun_anew_is_read_from_its_start(tmp_path: Path) -> None:
    """A file that has shrunk was rotated in place."""
    path = tmp_path / "a.log"
    path.write_text("a long line of before\n")
    log = LogWatch([str(path)])
    path.write_text("anew\n")
    assert log.text() == "anew\n"


def test_a_line_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """The text is given once nothing has been added for a moment."""
    path = tmp_path / "a.log"
    path.write_text("")
    late = threading.Event()
    waits = iter(range(100))

    def wait(_seconds: float) -> None:
        if next(waits) == 1:
            path.write_text("late\n")
            late.set()

    clock = iter(range(100_000))
    log = LogWatch([str(path)], monotonic=lambda: next(clock) * 0.01, wait=wait)
    assert log.text() == "late\n"
    assert late.is_set()


def test_no_log_is_no_proof(tmp_path: Path) -> None:
    """Where no file fits, nothing can be said of what is logged."""
    with pytest.raises(Unknown, match="no log file"):
        LogWatch([f"{tmp_path}/*.log"])


def test_every_value_of_a_database_is_read(tmp_path: Path) -> None:
    """Texts, numbers and bytes of all tables are given with their places; nothing is empty."""
    path = tmp_path / "books.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute('CREATE TABLE "odd name" (id INTEGER, note TEXT, sealed BLOB)')
        database.execute('INSERT INTO "odd name" VALUES (7, ?, ?)', ("caf\u00e9", b"key_1\xff"))
        database.execute('INSERT INTO "odd name" VALUES (8, NULL, NULL)')
    assert sorted(stored_texts(f"sqlite:///{path}")) == [
        ("odd name.id", "7"),
        ("odd name.id", "8"),
        ("odd name.note", "caf\u00e9"),
        ("odd name.sealed", "key_1\u00ff"),
    ]


@pytest.mark.parametrize("url", ["sqlite:///{}/none.db", "nonsense", "oracle+nothing://u:pw@h/d"])
def test_a_database_that_cannot_be_read_is_no_proof(tmp_path: Path, url: str) -> None:
    """The reason names no address, which may hold a password; no database is made by looking."""
    with pytest.raises(Unknown, match="cannot be read") as raised:
        list(stored_texts(url.format(tmp_path)))
    assert "pw" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_spare_address_is_of_this_machine_and_keeps_to_its_name() -> None:
    """Two names come from two addresses; where the target is elsewhere there is none to spare."""
    first, again = (spare_address("http://127.0.0.1:8000", "one") for _ in range(2))
    assert first == again
    if first is not None:
        assert first.startswith("127.")
        assert first != spare_address("http://127.0.0.1:8000", "two")
    assert spare_address("https://billing.example.com", "one") is None
