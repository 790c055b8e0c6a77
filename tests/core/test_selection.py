from typing import cast

import pytest

from harness.errors import TargetError
from harness.selection import Selection, group_names, kept, selection, suite_names
from harness.settings import run_settings

ALL = tuple(suite_names())


def test_every_suite_is_run_unless_some_are_named() -> None:
    """Nothing asked for is everything; a suite asked for is that one."""
    assert selection(run_settings()) == Selection(ALL)
    assert selection(run_settings(suites=("e2e",))) == Selection(("e2e",))


def test_smoke_is_a_selection_of_every_suite_or_of_those_named() -> None:
    """`smoke` narrows what is run, and names no folder of its own."""
    assert selection(run_settings(suites=("smoke",))) == Selection(ALL, smoke=True)
    live = selection(run_settings(production_host="pay.acme.com"))
    assert live.arguments()[0] == "--harness-production"
    both = selection(run_settings(suites=("smoke", "e2e")))
    assert both == Selection(("e2e",), smoke=True)
    assert both.arguments() == ["--harness-smoke", "--pyargs", "suites.e2e"]


def test_what_does_not_exist_is_told_with_what_does() -> None:
    """A suite or a group that nobody has written is refused, and the known ones are named."""
    with pytest.raises(TargetError, match="there is no suite 'e3e'") as told:
        selection(run_settings(suites=("e3e",)))
    assert "e2e" in (told.value.hint or "")
    with pytest.raises(TargetError, match="there is no group 'pcii' in security") as told:
        selection(run_settings(suites=("security",), groups=("pcii",)))
    assert "Groups: " in (told.value.hint or "")


def test_words_come_with_commas_or_one_by_one() -> None:
    """`--test a,b` and `--test a --test b` are the same; what no name can hold is refused."""
    assert run_settings(tests=("a,b", "c")).tests == ("a", "b", "c")
    with pytest.raises(TargetError, match="can be in no test's name"):
        selection(run_settings(tests=("not a (name",)))


def test_a_test_is_kept_by_its_markers(marked: list[pytest.Item]) -> None:
    """Without a wish every test is kept; with one, those that are marked for it."""

    def names(*, smoke: bool = False, groups: tuple[str, ...] = ()) -> list[str]:
        items = [item for item in marked if kept(item, smoke=smoke, groups=groups)]
        return [item.name for item in items]

    assert names() == ["plain", "quick", "of_pci", "of_both"]
    assert names(smoke=True) == ["quick"]
    assert names(groups=("pci",)) == ["of_pci", "of_both"]
    assert names(groups=("limits", "logs")) == ["of_both"]
    assert names(smoke=True, groups=("pci",)) == []


class _Item:
    """As much of pytest's item as is asked."""

    def __init__(self, name: str, *marks: pytest.MarkDecorator) -> None:
        self.name = name
        self._marks = [mark.mark for mark in marks]

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [mark for mark in self._marks if mark.name == name]

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return next(iter(self.iter_markers(name)), None)


@pytest.fixture
def marked() -> list[pytest.Item]:
    """Give tests with markers."""
    items = [
        _Item("plain"),
        _Item("quick", pytest.mark.smoke),
        _Item("of_pci", pytest.mark.group("pci")),
        _Item("of_both", pytest.mark.group("pci", "limits")),
    ]
    return cast("list[pytest.Item]", items)


def test_groups_are_named_without_importing_a_suite() -> None:
    """The names stand in the suites' own markers."""
    assert all(name.replace("-", "").isalnum() for name in group_names(ALL))
    assert group_names(()) == []
