"""Finds the shortest way to a breach: by telling it to the target again, while that still runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, Unknown
from harness.operations import OPERATIONS
from harness.replay.commands import Commands
from harness.replay.play import play, shrunk
from harness.replay.story import Story, Unplayable, story_of, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.checks.verdict import CheckVerdict
    from harness.ground import Ground
    from harness.history import Record

BUDGET_S = 12.0
FINDINGS_MAX = 3
_STEPS_MAX = 60
_SHOWN_MAX = 12


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The way to one finding, in so many `requests`, written in so many `lines`.

    `replayed`: it was seen again, by these requests alone, and `story` is the file that replays
    it. Otherwise the requests are as they were first seen, and `why` says why they are no more.
    """

    check: str | None
    test: str | None
    message: str
    requests: int
    lines: int
    curl: str
    python: str
    replayed: bool
    why: str | None = None
    story: str | None = None


def reproductions(
    findings: Sequence[dict[str, Any]], history: Sequence[Record], ground: Ground
) -> list[Reproduction]:
    """Give the ways to the first findings, one for each check or test that found something."""
    ground.caught = True  # a breach has outlasted its whole deadline once: that is enough
    return [_reproduction(finding, history, ground) for finding in _distinct(findings)]


def _distinct(findings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give one finding for each test and each check: a check's tells more than an assertion."""
    by_test: dict[str, dict[str, Any]] = {}
    for finding in sorted(findings, key=lambda finding: finding["check"] is None):
        by_test.setdefault(finding["test"] or "", finding)
    found: dict[str, dict[str, Any]] = {}
    for finding in findings:
        if by_test[finding["test"] or ""] is finding:
            found.setdefault(finding["check"] or finding["test"] or "", finding)
    return list(found.values())[:FINDINGS_MAX]


def _reproduction(
    finding: dict[str, Any], history: Sequence[Record], ground: Ground
) -> Reproduction:
    own = _of_test(finding, history)
    try:
        story = _story(finding, own, ground)
        shortest = _shortest(story, ground)
        commands = told_again(shortest, ground).commands
    except (Unplayable, Unknown, HarnessError) as reason:
        return _as_seen(finding, own, ground, str(reason))
    return Reproduction(
        check=finding["check"],
        test=finding["test"],
        message=finding["message"],
        requests=len(commands),
        lines=commands.lines,
        curl=commands.curl(),
        python=commands.python(),
        replayed=True,
        story=to_json(shortest),
    )


def _of_test(finding: dict[str, Any], history: Sequence[Record]) -> list[Record]:
    if finding["test"]:
        return [record for record in history if record.test == finding["test"]]
    return [record for record in history if record.customer == finding["customer"]]


def _story(finding: dict[str, Any], own: Sequence[Record], ground: Ground) -> Story:
    if not finding["check"]:
        raise Unplayable("the test's own assertion found it, which only the whole test can repeat")
    story = story_of(
        own,
        ground.plan.run_id,
        target=ground.plan.spec,
        check=finding["check"],
        message=finding["message"],
    )
    if len(story.steps) > _STEPS_MAX:
        raise Unplayable(f"it took {len(story.steps)} steps, more than are tried again")
    return story


def _shortest(story: Story, ground: Ground) -> Story:
    ends_at = time.monotonic() + BUDGET_S
    if not breaches(story, ground):
        raise Unplayable(
            "the same operations alone did not end so again: it hangs on timing, or on what the"
            " test did to the payment provider"
        )
    return shrunk(story, lambda s: breaches(s, ground), lambda: time.monotonic() > ends_at)


def breaches(story: Story, ground: Ground) -> bool:
    """Tell a story to the target and say whether its check finds a breach at the end."""
    session = ground.aside("replay")
    try:
        play(story, session, ground.provider)
    except (Unplayable, Unknown):
        return False
    verdicts = ground.judge().judge(session.customers, session.records)
    return any(verdict.check == story.check and verdict.kind == "invalid" for verdict in verdicts)


@dataclass(frozen=True, slots=True)
class ToldAgain:
    """A story that was told once more: what the checks say, and what was sent."""

    verdicts: list[CheckVerdict]
    commands: Commands


def told_again(story: Story, ground: Ground) -> ToldAgain:
    """Tell a story once and judge it; what is sent ends with what shows the breach."""
    session = ground.aside("replay")
    token = play(story, session, ground.provider)
    verdicts = ground.judge().judge(session.customers, session.records)
    acted = sorted(_unlooked(session.records), key=lambda record: record.began_at)
    done = len(session.records)
    for operation in ("get_balance", "list_ledger", "list_payments"):
        if operation in ground.target.operations and session.customers:
            session.perform(operation, customer=session.customers[0])
    records = [*acted, *session.records[done:]]
    commands = Commands(records, ground.target.profile, ground.redactor, token)
    return ToldAgain(verdicts, commands)


def _as_seen(
    finding: dict[str, Any], own: Sequence[Record], ground: Ground, why: str
) -> Reproduction:
    commands = Commands(
        list(_telling(finding, own)), ground.target.profile, ground.redactor, ground.plan.run_id
    )
    return Reproduction(
        check=finding["check"],
        test=finding["test"],
        message=finding["message"],
        requests=len(commands),
        lines=commands.lines,
        curl=commands.curl(),
        python=commands.python(),
        replayed=False,
        why=why,
    )


def _telling(finding: dict[str, Any], own: Sequence[Record]) -> Iterator[Record]:
    """Leave out what only looked, but for the last; of many, keep how it began and how it ended."""
    who = finding["customer"]
    acted = [
        record
        for number, record in enumerate(own)
        if (not _looks(record) or number == len(own) - 1)
        and (who is None or record.customer in {who, None} or number == len(own) - 1)
    ]
    if len(acted) <= _SHOWN_MAX:
        return iter(acted)
    half = _SHOWN_MAX // 2
    return iter([*acted[:half], *acted[-half:]])


def _looks(record: Record) -> bool:
    known = OPERATIONS.get(record.operation)
    return known is not None and known.reads


def _unlooked(records: Sequence[Record]) -> Iterator[Record]:
    """Leave out what only moved or drained the target: a noted jump of time tells of it."""
    return (record for record in records if record.operation not in {"drain", "advance_time"})
