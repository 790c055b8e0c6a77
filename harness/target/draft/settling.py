"""How an operation that is only taken on is followed until it is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.operations import OPERATIONS
from harness.target.draft.fields import given
from harness.target.draft.vocabulary import DONE_WORDS, FAILED_WORDS
from harness.target.draft.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.target.draft.endpoints import Endpoint, Field
    from harness.target.draft.matching import Match

_STATES = ("status", "state", "outcome", "result")
_REASONS = ("reason", "failure", "error", "code")

Questions = list[tuple[str, str]]


def settle_of(match: Match, among: Sequence[Endpoint]) -> tuple[dict[str, Any] | None, Questions]:
    """Give `settle` for a match that answers 202, or None; and what is to be asked of a person."""
    from harness.target.draft.mapping import expression

    poll = next((each for each in among if _follows(match.endpoint, each)), None)
    own = _last_input(match)
    if poll is None or own is None:
        why = "it answers 202: how is it learnt what became of it? Without `settle` it is unknown"
        return None, [("settle", why)]
    placed = iter([*match.taken.parameters.values(), own])
    path = re.sub(r"\{[^}]*\}", lambda _: f"{{{next(placed, None) or own}}}", poll.path)
    flat = [each for each in poll.reply if "[]" not in each.path]
    state, reason = _named(flat, _STATES), _named(flat, _REASONS)
    outputs = {
        name: expression(bound.field.path) for name, bound in given(match.operation, poll).items()
    }
    reply = {"state": expression(state.path)} if state else {}
    reply |= {"reason": expression(reason.path)} if reason else {}
    done, failed = _words(state, DONE_WORDS), _words(state, FAILED_WORDS)
    settle: dict[str, Any] = {
        "poll": f"GET {path}",
        "reply": {**reply, **{k: v for k, v in outputs.items() if k != "status"}},
        "until": _is_any(done) if done else "state == '<?>'",
    }
    if failed:
        settle["refused"] = _is_any(failed)
        settle |= {"code": "reason"} if reason else {}
    choices = f" of {', '.join(state.choices)}" if state and state.choices else ""
    return settle, [("settle", f"which states{choices} mean that it happened, or did not?")]


def _follows(started: Endpoint, other: Endpoint) -> bool:
    """Say whether one reads by its id what the other has started."""
    if other.method != "GET" or not other.ends_in_parameter:
        return False
    return _shape(other.segments[:-1]) == _shape(started.segments)


def _shape(segments: Sequence[str]) -> list[str]:
    return ["{}" if "{" in segment else segment for segment in segments]


def _last_input(match: Match) -> str | None:
    """Give the input by which what was started can be found again."""
    own = "usage_id" if "usage_id" in match.taken.inputs else None
    return own or next((o for o in match.given if o in OPERATIONS[match.operation].outputs), None)


def _named(fields: Sequence[Field], names: tuple[str, ...]) -> Field | None:
    return next((f for name in names for f in fields if words(f.name)[-1:] == [name]), None)


def _words(state: Field | None, known: frozenset[str]) -> list[str]:
    return [choice for choice in (state.choices if state else ()) if choice.lower() in known]


def _is_any(choices: Sequence[str]) -> str:
    quoted = [choice.replace("\\", "\\\\").replace("'", "\\'") for choice in choices]
    return " || ".join(f"state == '{choice}'" for choice in quoted)
