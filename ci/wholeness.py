"""Whether the parts are a whole: every reason why they are not, each in a sentence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ci.junit import read_junit
from ci.part import HISTORY, JUNIT
from ci.reading import Unreadable
from harness.errors import HistoryError
from harness.history import read_histories
from harness.measuring import COVERAGE_FILE
from harness.partition import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ci.part import Part

_SHOWN = 3


def gaps(parts: Sequence[Part], expected: int | None = None) -> list[str]:
    """Give every reason why these parts prove nothing together; none where they are whole.

    `expected` is how many partitions there ought to be, where that is known from elsewhere.
    """
    if not parts:
        return ["there is nothing to merge: no partition left a report"]
    found = [*_presence(parts, expected), *_agreement(parts), *_union(parts)]
    for part in parts:
        found += [f"{part.name}: {reason}" for reason in _own_gaps(part)]
    return found


def _presence(parts: Sequence[Part], expected: int | None) -> Iterator[str]:
    """Every partition must be there, once."""
    total = expected or max(part.report.partition.total for part in parts)
    counts = Counter(part.report.partition.index for part in parts)
    for index in range(1, total + 1):
        if not counts[index]:
            yield f"partition {index} of {total} is missing"
    for index, count in sorted(counts.items()):
        if count > 1:
            yield f"partition {index} of {total} came {count} times"
        if index > total:
            yield f"there is a partition {index}, where {total} were expected"


def _agreement(parts: Sequence[Part]) -> Iterator[str]:
    """All must have been cut from the same whole, in the same way, of the same code."""
    questions: dict[str, Callable[[Part], Any]] = {
        "how many partitions there are (N changed between runs)": lambda p: (
            p.report.partition.total
        ),
        "which tests there are (another selection)": lambda p: p.report.partition.selection_digest,
        "which durations the shares were cut by": lambda p: p.report.partition.durations_digest,
        "which commit they are of": lambda p: p.report.partition.commit,
        "which versions they ran": lambda p: _versions(p.report.partition.versions),
        "which target they are about": lambda p: p.report.target,
        "which customers they were seeded with": lambda p: (
            ", ".join(sorted(p.report.partition.seeded or ())) or "none"
        ),
        "whether the target's coverage was measured": lambda p: p.report.partition.coverage,
    }
    for question, ask in questions.items():
        answers: dict[Any, list[int]] = {}
        for part in parts:
            answers.setdefault(ask(part), []).append(part.report.partition.index)
        if len(answers) > 1:
            told = "; ".join(
                f"{answer} in {', '.join(map(str, indices))}" for answer, indices in answers.items()
            )
            yield f"the partitions do not agree on {question}: {told}"


def _versions(versions: dict[str, str]) -> str:
    return " ".join(f"{name} {value}" for name, value in sorted(versions.items()))


def _union(parts: Sequence[Part]) -> Iterator[str]:
    """Every collected test must be in exactly one partition."""
    selection = set(parts[0].report.partition.selection)
    counts = Counter(test for part in parts for test in part.report.partition.own)
    twice = sorted(test for test, count in counts.items() if count > 1)
    none = sorted(selection - set(counts))
    strange = sorted(set(counts) - selection)
    if twice:
        yield f"{_some(twice)} in more than one partition"
    if none:
        yield f"{_some(none)} collected, and in no partition"
    if strange:
        yield f"{_some(strange)} in a partition, and never collected"


def _own_gaps(part: Part) -> Iterator[str]:
    """Look whether a partition told of each of its tests, the same in every file."""
    facts = part.report.partition
    told = {test.id: test.result for test in part.report.tests}
    if digest(facts.selection) != facts.selection_digest:
        yield "its list of tests is not the one that it was cut from"
    left = sorted(set(facts.own) - set(told))
    if left:
        yield f"fewer tests ran than were collected: {_some(left)} left out"
    strange = sorted(set(told) - set(facts.own))
    if strange:
        yield f"{_some(strange)} told of, and not its own"
    if len(told) != len(part.report.tests):
        yield "it tells of a test twice"
    if part.report.interrupted:
        yield "it was interrupted"
    for state, differences in (facts.seeded or {}).items():
        if differences:
            yield f"its customer in the state {state} is not as the fixture says: {differences[0]}"
    yield from _junit_gaps(part, told)
    yield from _history_gaps(part)
    if facts.coverage and not (part.folder / COVERAGE_FILE).is_file():
        yield f"{part.folder / COVERAGE_FILE} is missing, though coverage was measured"


def _junit_gaps(part: Part, told: Mapping[str, str]) -> Iterator[str]:
    try:
        cases = {case.id: case.result for case in read_junit(part.folder / JUNIT)}
    except Unreadable as error:
        yield str(error)
        return
    left = sorted(set(told) - set(cases))
    if left:
        yield f"{part.folder / JUNIT} leaves {_some(left)} out"
    strange = sorted(set(cases) - set(told))
    if strange:
        yield f"{part.folder / JUNIT} tells of {_some(strange)}, of which the report knows nothing"
    other = sorted(test for test in told if test in cases and cases[test] != told[test])
    if other:
        yield f"{part.folder / JUNIT} does not agree with the report on {_some(other)}"


def _history_gaps(part: Part) -> Iterator[str]:
    path = part.folder / HISTORY
    if not path.is_file():
        yield f"{path} is missing"
        return
    try:
        count = len(read_histories([path]))
    except HistoryError as error:
        yield error.message
        return
    if count != part.report.performed:
        yield f"{path} has {count} operations, where {part.report.performed} were performed"


def _some(tests: Sequence[str]) -> str:
    """Name a few tests of many.

    >>> _some(["a", "b", "c", "d"])
    '4 tests (a, b, c, …)'
    """
    shown = ", ".join(tests[:_SHOWN]) + (", …" if len(tests) > _SHOWN else "")
    return f"{len(tests)} test{'s' if len(tests) > 1 else ''} ({shown})"
