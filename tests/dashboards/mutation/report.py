"""Writes what became of the mutants as a page for people, from facts that are kept beside it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.dashboards.mutation.running import Result

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "DASHBOARDS_PROOF.md"
NOT_RUN = "not run"
_ONE_BOOK = "every instance reads one database, so all say the same; which is taken is one"
EQUIVALENT = {
    "revenue_by_plan: max → min": _ONE_BOOK,
    "duplicate_charges: max → min": _ONE_BOOK,
    "active_subscriptions: max → min": _ONE_BOOK,
    "subscription_amount: sum → max": "a first invoice is of 599 dollars or a multiple of it, on"
    " either side of the last edge: the median is at that edge either way",
    "webhook_backlog: sum → max": "of one service there is one reading, and its sum is itself; of"
    " two, `test_readings_of_two_services_are_added_up` finds it",
}
"""Survivors that say the same as what they replaced, and why."""
FACTS = Path(__file__).with_name("results.json")
KINDS = {
    "chosen code": "Metrics code, chosen",
    "drawn code": "Metrics code, drawn",
    "chosen query": "Queries and alerts, chosen",
    "drawn query": "Queries, drawn",
    "defect": "Defects of the reference",
}
_HEAD = """# What the proof of the dashboards is worth

Written by `python -m tests.dashboards.mutation` (about half an hour on two cores of its own): do
not edit. A proof that stays green over a broken panel is worth nothing, so metrics code, queries
and alerts are broken on purpose, one at a time, and [`dashboards prove`](DASHBOARDS.md) is run on
each.

*Killed*: a panel or an alert differs from its oracle. *Killed by the story*: the proof's own data
could not tell, but promtool's tests of the same queries and oracles can, on the made-up day of two
instances. *Equivalent*: it survived, and says the same as what it replaced, for the reason that
stands with it; not counted. *Stopped*: the broken service did not run the scenario to its end, so
that the proof exits with 2; not counted. *Not run*: this run was cut before; not counted. *Drawn*
mutations are chosen by a seed (`drawing.py`), and no person.
"""


def write(results: Sequence[Result]) -> None:
    """Write facts and page."""
    facts = [asdict(each) for each in results]
    FACTS.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(render(json.loads(FACTS.read_text("utf-8"))), encoding="utf-8")


def status_of(fact: Mapping[str, Any]) -> str:
    """Give what became of a mutant; a survivor that says the same is `equivalent`."""
    is_same = fact["status"] == "survived" and fact["name"] in EQUIVALENT
    return "equivalent" if is_same else str(fact["status"])


def is_killed(fact: Mapping[str, Any]) -> bool:
    """Whether something went red."""
    return str(fact["status"]).startswith("killed")


def counted(facts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the mutants that ran, of which the score is taken."""
    return [each for each in facts if status_of(each) not in {"stopped", NOT_RUN, "equivalent"}]


def render(facts: Sequence[Mapping[str, Any]]) -> str:
    """Give the page."""
    ran = counted([each for each in facts if each["kind"] != "defect"])
    killed = sum(map(is_killed, ran))
    score = f"**{killed} of {len(ran)} mutants killed, {killed / max(1, len(ran)):.0%}.**"
    told = [_HEAD, score, *_earlier(facts), "", *_table(facts), "", *_survivors(facts)]
    return "\n".join([*told, *_found(facts)])


def _earlier(facts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say how many were last run on an earlier proof, which asked less."""
    if count := sum(bool(each.get("earlier")) for each in facts):
        yield ""
        yield (
            f"{count} of the killed, marked *, were last run before the proof was made to ask for"
            " two instances, one segment and books that somebody wrote to.\nIt has only asked more"
            " since."
        )


def _table(facts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    words = ("killed", "killed by the story", "survived", "equivalent", "stopped", NOT_RUN)
    yield f"| what was broken | mutants | {' | '.join(words)} |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for kind, title in KINDS.items():
        counts = Counter(status_of(each) for each in facts if each["kind"] == kind)
        cells = [counts[each] for each in words]
        yield f"| {title} | {counts.total()} | {' | '.join(map(str, cells))} |"


def _survivors(facts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Survivors, and what was not counted"
    yield ""
    for fact in facts:
        if not is_killed(fact):
            words = EQUIVALENT.get(fact["name"], "") if not fact["told"] else _cell(fact["told"])
            told = f": {words}" if words else ""
            yield f"- {status_of(fact)}, {fact['kind']}: `{_cell(fact['name'])}`{told}"
    yield ""


def _found(facts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Killed, and what went red first"
    for kind, title in KINDS.items():
        yield from ("", f"### {title}", "", "| mutant | what went red |", "| --- | --- |")
        for fact in facts:
            if fact["kind"] == kind and is_killed(fact):
                mark = " *" if fact.get("earlier") else ""
                yield f"| `{_cell(fact['name'])}`{mark} | {_cell(fact['told'])} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").replace("`", "'").split())[:220]
