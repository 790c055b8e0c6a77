"""Tests of the names that a run makes."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from harness.naming import Names

_LIKE_A_CARD = re.compile(r"\d(?:[ -]?\d){12,18}")


@given(run_id=st.text("0123456789abcdef", min_size=8, max_size=8), test=st.text(max_size=20))
def test_no_name_reads_like_a_cards_number(run_id: str, test: str) -> None:
    """Whatever a run is called, no name of its customers has the figures of a card in a row."""
    names = Names(7, run_id, test)
    for _ in range(1000):
        assert not _LIKE_A_CARD.search(names.new("usage"))


def test_ten_thousand_sessions_never_meet() -> None:
    """Every session of a large load has names of its own: two alike would be one customer."""
    names = {Names(7, "1f2e3d4c", f"load/prepare-{number}").email() for number in range(20_000)}
    assert len(names) == 20_000
