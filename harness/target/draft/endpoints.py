"""What an OpenAPI document says of each of its operations, flattened to fields.

Everything here takes any JSON: whatever is not as OpenAPI has it is left out.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.target.draft.words import all_of, meanings, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.target.draft.document import Document

METHODS = ("get", "post", "put", "patch", "delete")
_DEPTH_MAX = 5
_FIELDS_MAX = 200
_LOOKS_MAX = 2000  # at schemas, of one body: branches of branches multiply
_ENDPOINTS_MAX = 3000
_OWNS_MIN = 3  # requests about what is a customer's own
_BRANCHES = ("allOf", "oneOf", "anyOf")
_SUCCESS = re.compile(r"2\d\d|2XX|default")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a body, a reply or a query: where it stands, and what it may be.

    `path` are the names that lead to it; ``[]`` among them is a step into the items of a list.
    `value` is one that the document itself gives: its only choice, default or example.
    """

    path: tuple[str, ...]
    type: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    value: Any = None
    maximum: int | None = None
    about: str = ""

    @property
    def name(self) -> str:
        """The last name of its path."""
        return self.path[-1] if self.path else ""


@dataclass(frozen=True)
class Endpoint:
    """One operation of a document."""

    method: str
    path: str
    name: str = ""
    about: str = ""
    tags: tuple[str, ...] = ()
    query: tuple[Field, ...] = ()
    headers: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    encoding: str = "json"
    statuses: tuple[int, ...] = ()
    reply: tuple[Field, ...] = ()
    reply_headers: frozenset[str] = frozenset()
    errors: tuple[Field, ...] = ()
    schemes: tuple[str, ...] = ()
    is_open: bool = False
    customers: str = ""  # what its document calls customers, where the vocabulary has no such word

    @property
    def request(self) -> str:
        """Method and path, as the document writes them."""
        return f"{self.method} {self.path}"

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The parts of its path."""
        return tuple(part for part in self.path.split("/") if part)

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """What the fixed parts of its path mean, in their order."""
        fixed = [part for part in self.segments if "{" not in part]
        return tuple(
            meaning
            for part in fixed
            for meaning in (["customer"] if part == self.customers else meanings(part))
        )

    @cached_property
    def said(self) -> frozenset[str]:
        """What its name and summary speak of."""
        return frozenset(meanings(self.name) + meanings(self.about))

    @cached_property
    def tagged(self) -> frozenset[str]:
        """What its tags speak of."""
        return frozenset(meaning for tag in self.tags for meaning in meanings(tag))

    @property
    def ends_in_parameter(self) -> bool:
        """Whether its path ends with an id."""
        return bool(self.segments) and self.segments[-1].startswith("{")

    @cached_property
    def lists(self) -> tuple[tuple[str, ...], ...]:
        """Where its reply holds lists of objects, the likeliest list first."""
        found = {f.path[: f.path.index("[]")] for f in self.reply if "[]" in f.path}
        return tuple(sorted(found, key=lambda path: (not _is_list(path, self.steps), len(path))))

    @property
    def is_list(self) -> bool:
        """Whether its reply is a list, rather than an object that holds one too."""
        return bool(self.lists) and _is_list(self.lists[0], self.steps)


_LIST_WORDS = all_of("data item result entry record element value content row page")


def _is_list(path: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    if not path:
        return True
    named = words(path[-1])
    return bool(set(named) & _LIST_WORDS) or bool(set(meanings(path[-1])) & set(steps[-1:]))


def endpoints(document: Document) -> list[Endpoint]:
    """Give every operation of a document; those that no request can be written for are left out."""
    found: list[Endpoint] = []
    for path, node in document.data["paths"].items():
        item = document.resolve(node)
        for method in METHODS:
            operation = item.get(method)
            if not isinstance(operation, dict) or not re.fullmatch(r"/[^\s?]*", str(path)):
                continue
            if len(found) < _ENDPOINTS_MAX:
                found.append(_endpoint(document, method.upper(), str(path), item, operation))
    own = _customers(found)
    return [replace(each, customers=own) for each in found] if own else found


def _customers(among: list[Endpoint]) -> str:
    """Give what a document calls customers by its own word: that under whose ids most else stands.

    There is none where a path speaks of customers in a word that is known.
    """
    if any("customer" in each.steps for each in among):
        return ""
    owners: Counter[str] = Counter()
    for each in among:
        for word, then in itertools.pairwise(each.segments[:-1]):
            if "{" not in word and then.startswith("{") and not meanings(word):
                owners[word] += 1
                break
    made = {each.segments[-1] for each in among if each.method == "POST" and each.segments}
    likely = [word for word, count in owners.most_common() if count >= _OWNS_MIN and word in made]
    return likely[0] if likely else ""


def _endpoint(
    document: Document, method: str, path: str, item: dict[str, Any], operation: dict[str, Any]
) -> Endpoint:
    parameters = _parameters(document, item, operation)
    encoding, body = _body(document, operation)
    # YAML's statuses are numbers where nobody has quoted them.
    replies = {str(status): r for status, r in _table(operation.get("responses")).items()}
    good = {status: reply for status, reply in replies.items() if _is_good(status)}
    reply = document.resolve(next((good[status] for status in sorted(good)), None))
    schemes, is_open = _security(document, operation)
    return Endpoint(
        method=method,
        path=path,
        name=_text(operation.get("operationId")),
        about=_text(operation.get("summary")),
        tags=tuple(tag for tag in _list(operation.get("tags")) if isinstance(tag, str)),
        query=tuple(parameters.get("query", ())),
        headers=tuple(parameters.get("header", ())),
        body=tuple(body),
        encoding=encoding,
        statuses=tuple(int(status) for status in sorted(good) if status.isdecimal()),
        reply=tuple(_content(document, reply)[1]),
        reply_headers=frozenset(str(name).lower() for name in _table(reply.get("headers"))),
        errors=tuple(_errors(document, replies)),
        schemes=schemes,
        is_open=is_open,
    )


def _is_good(status: str) -> bool:
    return _SUCCESS.fullmatch(status.upper() if status != "default" else status) is not None


def _errors(document: Document, replies: dict[str, Any]) -> list[Field]:
    for status in sorted(replies):
        if status.startswith("4"):
            fields = _content(document, document.resolve(replies[status]))[1]
            # What a framework adds by itself says nothing of the API's own codes.
            if fields and not any("[]" in each.path for each in fields):
                return fields
    return []


def _parameters(
    document: Document, item: dict[str, Any], operation: dict[str, Any]
) -> dict[str, list[Field]]:
    found: dict[tuple[str, str], Field] = {}
    for node in [*_list(item.get("parameters")), *_list(operation.get("parameters"))]:
        parameter = document.resolve(node)
        place, name = _text(parameter.get("in")), _text(parameter.get("name"))
        if place and name:
            schema = document.resolve(parameter.get("schema"))
            required = parameter.get("required") is True
            field = _leaf(document, (name,), schema, required=required)
            found[place, name] = _with_example(field, parameter)
    by_place: dict[str, list[Field]] = {}
    for (place, _), found_field in found.items():
        by_place.setdefault(place, []).append(found_field)
    return by_place


def _with_example(field: Field, parameter: dict[str, Any]) -> Field:
    example = parameter.get("example")
    if field.value is None and isinstance(example, str | int):
        return Field(field.path, field.type, field.required, field.choices, example)
    return field


def _body(document: Document, operation: dict[str, Any]) -> tuple[str, list[Field]]:
    return _content(document, document.resolve(operation.get("requestBody")))


def _content(document: Document, node: dict[str, Any]) -> tuple[str, list[Field]]:
    content = _table(node.get("content"))
    for kind in sorted(map(str, content), key=lambda kind: "json" not in kind):
        if "json" in kind or "form" in kind or kind == "*/*":
            schema = document.resolve(content.get(kind)).get("schema")
            encoding = "form" if "form" in kind else "json"
            return encoding, list(_Walk(document).fields(schema))
    return "json", []


@dataclass
class _Walk:
    """One walk through a schema; it ends however the schema refers to itself."""

    document: Document
    left: int = _FIELDS_MAX
    looks: int = _LOOKS_MAX
    inside: list[int] = field(default_factory=list)

    def fields(
        self, node: Any, path: tuple[str, ...] = (), *, required: bool = False
    ) -> Iterator[Field]:
        """Give the values that a schema describes."""
        schema = self.document.resolve(node)
        if self.left <= 0 or len(path) > _DEPTH_MAX or id(schema) in self.inside or not schema:
            return
        self.inside.append(id(schema))
        try:
            properties, needed = self._properties(schema)
            if properties:
                for name, value in properties.items():
                    inner = required or not path
                    yield from self.fields(value, (*path, name), required=inner and name in needed)
            elif "items" in schema and (held := self._properties(schema["items"])[0]):
                for name, value in held.items():
                    yield from self.fields(value, (*path, "[]", name))
            elif path:
                self.left -= 1
                yield _leaf(self.document, path, schema, required=required)
        finally:
            self.inside.pop()

    def _properties(self, node: Any, depth: int = 0) -> tuple[dict[str, Any], set[str]]:
        """Give a schema's properties, with those of what it is made of, and which are required."""
        self.looks -= 1
        schema = self.document.resolve(node) if self.looks > 0 else {}
        found = {str(name): value for name, value in _table(schema.get("properties")).items()}
        needed = {name for name in _list(schema.get("required")) if isinstance(name, str)}
        for branch in _BRANCHES:
            for part in _list(schema.get(branch))[:_FIELDS_MAX] if depth < _DEPTH_MAX else ():
                more, also = self._properties(part, depth + 1)
                found = more | found
                needed |= also if branch == "allOf" else set()
        return dict(list(found.items())[:_FIELDS_MAX]), needed


def _leaf(
    document: Document, path: tuple[str, ...], schema: dict[str, Any], *, required: bool
) -> Field:
    whole = _unbranched(document, schema)
    choices = [str(v) for v in _list(whole.get("enum")) if isinstance(v, str | int)]
    const = whole.get("const")
    examples = [whole.get("example"), *_list(whole.get("examples"))]
    given = [const, whole.get("default"), *(choices if len(choices) == 1 else []), *examples]
    plain = [value for value in given if isinstance(value, str | int | bool | list) and value != ""]
    kind = whole.get("type")
    kinds = [str(k) for k in (kind if isinstance(kind, list) else [kind]) if k and k != "null"]
    most = whole.get("maximum")
    return Field(
        path=path,
        type=kinds[0] if kinds else "",
        required=required and whole.get("default") is None,
        choices=tuple(choices) or ((str(const),) if isinstance(const, str) else ()),
        value=plain[0] if plain else None,
        maximum=int(most) if isinstance(most, int | float) and 0 < most < 10**9 else None,
        about=_text(whole.get("description"))[:400],
    )


def _unbranched(document: Document, schema: dict[str, Any]) -> dict[str, Any]:
    """Give a schema with what its branches say; that it may be null is of no interest here."""
    whole = dict(schema)
    for branch in _BRANCHES:
        for part in _list(schema.get(branch))[:_DEPTH_MAX]:
            told = document.resolve(part)
            if told.get("type") != "null":
                whole = {**told, **whole}
    return whole


def _security(document: Document, operation: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    declared = operation.get("security", document.data.get("security"))
    needs = [need for need in _list(declared) if isinstance(need, dict)]
    names = tuple(dict.fromkeys(str(name) for need in needs for name in need))
    return names, not names or any(not need for need in needs)


def _table(node: Any) -> dict[Any, Any]:
    return node if isinstance(node, dict) else {}


def _list(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []


def _text(node: Any) -> str:
    return node if isinstance(node, str) else ""
