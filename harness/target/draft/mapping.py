"""Writes one operation's mapping from its match, with a question for whatever is not sure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.operations import OPERATIONS
from harness.target.draft.fields import end_words
from harness.target.draft.paging import page_of
from harness.target.draft.settling import settle_of
from harness.target.draft.vocabulary import KEY_PHRASES, SAME_WORDS, STATUS_WORDS
from harness.target.draft.words import words
from harness.target.reader import BLANK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.target.draft.endpoints import Endpoint, Field
    from harness.target.draft.fields import Bound
    from harness.target.draft.matching import Match

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN_MAX = 6
_DEFAULTS = {"name": "Ada Example", "quantity": 1}


@dataclass
class Sketch:
    """A mapping as plain data, and the questions that go with it: pairs of key and text."""

    data: dict[str, Any] = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, key: str, text: str) -> None:
        """Add a question about a key."""
        self.questions.append((key, text))


def sketch(match: Match, among: Sequence[Endpoint], role: str | None) -> Sketch:
    """Write the mapping of a match; `among` are all of the document's operations."""
    made = Sketch()
    if role:
        made.data["as"] = role
    made.data["request"] = _request(match, made)
    if not match.is_sure:
        made.ask("request", _why(match))
    _ask_for_query(match, made)
    _ask_for_body(match, made)
    _name_inputs(match, made)
    if match.operation == "arm_failpoint":
        made.ask("words.point", "which points does the API have? See docs/PROFILE.md")
    _read(match, made)
    if OPERATIONS[match.operation].lists:
        _read_items(match, made)
    if 202 in match.endpoint.statuses:  # noqa: PLR2004 - RFC 9110
        made.data["accepted"] = [202]
        settle, questions = settle_of(match, among)
        made.data |= {"settle": settle} if settle else {}
        made.questions += questions
    return made


def _why(match: Match) -> str:
    if match.rivals:
        return "could also be " + ", ".join(rival.request for rival in match.rivals)
    return f"is the nearest to {match.operation} that was found: is it that?"


def _request(match: Match, made: Sketch) -> str:
    """Write the request, each path parameter as the input that it is."""
    inputs = match.taken.parameters

    def placed(found: re.Match[str]) -> str:
        name = inputs.get(found[1])
        if name is None:
            made.ask("request", f"what is {{{found[1]}}}? No input of {match.operation} fits")
        return f"{{{name}}}" if name else BLANK

    path = re.sub(r"\{([^}]*)\}", placed, match.endpoint.path)
    return f"{match.endpoint.method} {path}"


def _ask_for_query(match: Match, made: Sketch) -> None:
    query = {bound.field.name: f"{{{name}}}" for name, bound in match.taken.query.items()}
    for left in match.taken.query_left:
        query[left.name] = _given(left, f"query.{left.name}", made)
    if query:
        made.data["query"] = query
    made.questions += [
        (f"query.{bound.field.name}", bound.doubt)
        for bound in match.taken.query.values()
        if bound.doubt
    ]


def _ask_for_body(match: Match, made: Sketch) -> None:
    body: dict[str, Any] = {}
    for name, bound in sorted(match.taken.body.items(), key=lambda pair: pair[1].field.path):
        _put(body, bound.field.path, f"{{{name}}}")
        if bound.doubt:
            key = ".".join(("body", *bound.field.path))
            made.ask(key, f"taken for {name} {bound.doubt}".replace("for could", "for; could"))
    for left in match.taken.body_left:
        if "[]" not in left.path:
            key = ".".join(("body", *left.path))
            _put(body, left.path, _key(match, left, key, made) or _given(left, key, made))
        else:
            made.ask("body", f"{'.'.join(left.path)} is required: write it by hand")
    if body:
        made.data["body"] = body
    elif match.endpoint.encoding == "json" and match.endpoint.body and _wants_body(match):
        made.data["body"] = {}


def _key(match: Match, left: Field, key: str, made: Sketch) -> str | None:
    """Give the idempotency key for a field of that meaning."""
    is_key = " ".join(words(left.name)) in KEY_PHRASES
    if OPERATIONS[match.operation].repeat != "key" or not is_key:
        return None
    made.ask(key, "taken for the key that makes a repeat safe")
    return "{idempotency_key}"


def _wants_body(match: Match) -> bool:
    return any(each.required for each in match.endpoint.body)


def _put(body: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for parent in parents:
        inner = body.setdefault(parent, {})
        if not isinstance(inner, dict):
            return
        body = inner
    body.setdefault(last, value)


def _given(left: Field, key: str, made: Sketch) -> Any:
    """Give what the document itself says for a field that is required and no input of ours."""
    if len(left.choices) == 1:
        return left.choices[0]
    if left.choices:
        made.ask(key, f"is required; it may be {_some(left.choices)}")
        return left.choices[0]
    if left.value is not None:
        made.ask(key, "is required; this is the document's own example")
        return left.value
    made.ask(key, f"is required, and no input of ours: {left.about or left.type or 'what is it?'}")
    return BLANK


def _name_inputs(match: Match, made: Sketch) -> None:
    """Say an input in the target's own word, where its choices hold one that means it."""
    bound = {**match.taken.body, **match.taken.query}.get("source")
    said = _translated(bound.field.choices, "marketplace") if bound else None
    if said and said != "marketplace":
        made.data["words"] = {"source": {"marketplace": said}}
    when = {**match.taken.body, **match.taken.query}.get("at_period_end")
    if when and (answers := end_words(when.field)):
        made.data["words"] = {"at_period_end": answers}
    needed = [name for name, found in match.taken.body.items() if found.field.required]
    # Tests do not always give these, and the API refuses to go without.
    defaults = {name: value for name, value in _DEFAULTS.items() if name in needed}
    if defaults:
        made.data["defaults"] = defaults


def _translated(choices: Iterable[str], word: str) -> str | None:
    known = SAME_WORDS.get(word, word).split()
    return next((choice for choice in choices if _plain(choice) in known), None)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())


def _read(match: Match, made: Sketch) -> None:
    operation = OPERATIONS[match.operation]
    reply = _sources(match.operation, match.given, made, "")
    order = [name for name in operation.outputs if name in reply]
    own = next((o for o in operation.outputs if o not in operation.optional_outputs), None)
    for output in (own, "subscription" if match.operation == "subscribe" else None):
        if output and output not in reply and "location" in match.endpoint.reply_headers:
            reply[output] = r"header:Location | /\/([^\/]+)$/"
            order = [output, *order]
            made.ask(f"reply.{output}", "the document shows none in the body: the end of Location")
    for output in operation.outputs:
        if output not in reply and output not in operation.optional_outputs:
            reply[output] = BLANK
            order.append(output)
            made.ask(f"reply.{output}", "is needed, and not seen in the document: where is it?")
    if order:
        made.data["reply"] = {name: reply[name] for name in order}
    values = _values(match.operation, match.given, made, "values")
    if values:
        made.data["values"] = values


def _read_items(match: Match, made: Sketch) -> None:
    endpoint = match.endpoint
    if not endpoint.lists:
        made.data["items"] = {"path": BLANK, "reply": {}}
        made.ask("items", "the document does not say what the list looks like")
        return
    place = endpoint.lists[0]
    if len(endpoint.lists) > 1 and not endpoint.is_list:
        others = ", ".join(".".join(path) for path in endpoint.lists[1:3])
        made.ask("items.path", f"could also be {others}")
    reply = _sources(match.operation, match.items, made, "items.")
    order = [name for name in OPERATIONS[match.operation].item_outputs if name in reply]
    items: dict[str, Any] = {"path": expression(place) or "@"}
    items["reply"] = {name: reply[name] for name in order}
    if not reply:
        made.ask("items.reply", "none of its fields was recognised")
    values = _values(match.operation, match.items, made, "items.values")
    if values:
        items["values"] = values
    page, question = page_of(endpoint)
    if page:
        items["page"] = page
    if question:
        made.ask("items.page", question)
    made.data["items"] = items


def _sources(
    operation: str, found: Mapping[str, Bound], made: Sketch, prefix: str
) -> dict[str, str]:
    for output, bound in found.items():
        if bound.doubt:
            made.ask(f"{prefix}reply.{output}", bound.doubt)
        elif output == "provider_id" and bound.field.name == "id":
            made.ask(f"{prefix}reply.{output}", f"is this {operation}'s id at the provider?")
    return {output: expression(bound.field.path) for output, bound in found.items()}


def _values(
    operation: str, found: Mapping[str, Bound], made: Sketch, prefix: str
) -> dict[str, dict[str, str]]:
    """Turn the target's words into ours where its document lists them."""
    values: dict[str, dict[str, str]] = {}
    for output, bound in found.items():
        ours = STATUS_WORDS.get(f"{operation}.{output}") or STATUS_WORDS.get(output)
        choices = bound.field.choices
        if not ours or not choices:
            continue
        pairs = {choice: word for word in ours.split() if (choice := _translated(choices, word))}
        unknown = [choice for choice in choices if choice not in pairs]
        missing = [word for word in ours.split() if word not in pairs.values()]
        if unknown and missing and output != "source":
            made.ask(f"{prefix}.{output}", f"which of {_some(unknown)} means {_some(missing)}?")
        told = {choice: word for choice, word in pairs.items() if choice != word}
        if told:
            values[output] = told
    return values


def _some(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _SHOWN_MAX else ""
    return ", ".join(names[:_SHOWN_MAX]) + more


def expression(path: Sequence[str]) -> str:
    """Write a path as JMESPath: a name that is none there is quoted, of a list the first counts."""
    parts = [name if _NAME.fullmatch(name) else json.dumps(name) for name in path]
    return ".".join(parts).replace('."[]"', "[0]")
