from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.junit import junit
from tests.core.running import full_run, result_of, run_of

if TYPE_CHECKING:
    from harness.report.results import RunResults


def _read(run: RunResults) -> ET.Element:
    return ET.fromstring(junit(run.to_json()))  # noqa: S314 - our own text, written just now


def test_counts_are_those_of_the_run() -> None:
    """Each suite tells its tests, failures, errors and skips."""
    told = {
        suite.get("name"): [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
        for suite in _read(full_run())
    }
    assert told == {"e2e": ["3", "1", "1", "0"], "security": ["1", "0", "0", "1"]}


@pytest.mark.parametrize(
    ("result", "tag", "kind"),
    [
        ("passed", None, None),
        ("failed", "failure", "AssertionError"),
        ("unknown", "error", "harness.errors.Unknown"),
        ("skipped", "skipped", None),
    ],
)
def test_each_result_has_its_element(result: str, tag: str | None, kind: str | None) -> None:
    """Unknown is an error of a type of its own, and never a failure."""
    (case,) = _read(run_of(result_of(result))).iter("testcase")  # type: ignore[arg-type] # a result
    children = list(case)
    assert [child.tag for child in children] == ([tag] if tag else [])
    if tag:
        assert (children[0].get("type"), children[0].get("message")) == (kind, f"it was {result}")


@given(st.text())
def test_any_text_can_be_read_back(text: str) -> None:
    """Characters that XML cannot hold become replacement characters; all others stay."""
    for case in _read(run_of(result_of("unknown", reason=text))).iter("testcase"):
        (error,) = case
        shown = (error.get("message") or "").replace("\N{REPLACEMENT CHARACTER}", "")
        assert set(shown) <= set(text) | {" "}
        kept = [char for char in text if char.isprintable() and ord(char) not in {0xFFFD, 0xFFFE}]
        assert [char for char in shown if char in kept] == [char for char in kept if char in shown]


def test_control_characters_survive_as_replacements() -> None:
    """A terminal's colours or a null in a reason do not make the file unreadable."""
    (case,) = _read(run_of(result_of("failed", reason="a\x00b\x1b[1m\ufffe"))).iter("testcase")
    assert case[0].get("message") == "a\ufffdb\ufffd[1m\ufffd"


def test_a_parameter_may_hold_anything() -> None:
    """A test's class is its file, its name the function with its choice, colons and all."""
    (case,) = _read(run_of(result_of("passed", "test_a[x::y[z]]"))).iter("testcase")
    assert case.get("classname") == "suites/e2e/test_x.py"
    assert case.get("name") == "test_a[x::y[z]]"


def test_a_run_of_nothing_is_a_report_all_the_same() -> None:
    """No tests make an empty report, which still can be read."""
    assert list(_read(run_of(tests=()))) == []
