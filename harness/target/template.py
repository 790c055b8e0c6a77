"""Filling `{placeholders}` in a profile's requests, and writing bodies in the target's encoding."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_DOTS = {".": "%2E", "..": "%2E%2E"}  # unquoted, these are steps through the path (RFC 3986, 3.3)


class _Absent:
    """Stands for an input that was not given: its key is left out."""


_ABSENT = _Absent()


def placeholders(value: object) -> set[str]:
    """Name every placeholder in a string, or in the strings of nested tables and lists.

    >>> sorted(placeholders({"a": ["{x}", {"b": "/{y}/{x}"}]}))
    ['x', 'y']
    """
    if isinstance(value, str):
        return set(PLACEHOLDER.findall(value))
    if isinstance(value, dict):
        return set().union(*(placeholders(entry) for entry in value.values()))
    if isinstance(value, list):
        return set().union(*(placeholders(entry) for entry in value))
    return set()


def fill_path(template: str, inputs: Mapping[str, Any]) -> str:
    """Fill a path; what is filled in is quoted, so that an id cannot change the route.

    >>> fill_path("/v1/customers/{customer}/usage", {"customer": "a/../b"})
    '/v1/customers/a%2F..%2Fb/usage'
    """
    filled = PLACEHOLDER.sub(lambda match: quote(_text(inputs[match[1]]), safe=""), template)
    return "/".join(_DOTS.get(segment, segment) for segment in filled.split("/"))


def fill_text(template: str, inputs: Mapping[str, Any]) -> str:
    """Fill a header or a line of text."""
    return PLACEHOLDER.sub(lambda match: _text(inputs[match[1]]), template)


def fill(value: Any, inputs: Mapping[str, Any]) -> Any:
    """Fill a body: a lone placeholder keeps its type, keys whose inputs are absent are left out.

    >>> fill({"n": "{quantity}", "at": "{at}", "id": "u-{id}"}, {"quantity": 2, "id": 7})
    {'n': 2, 'id': 'u-7'}
    """
    filled = _fill(value, inputs)
    return None if filled is _ABSENT else filled


def _fill(value: Any, inputs: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return _fill_string(value, inputs)
    if isinstance(value, list):
        entries = [_fill(entry, inputs) for entry in value]
        return [entry for entry in entries if entry is not _ABSENT]
    if isinstance(value, dict):
        pairs = {key: _fill(entry, inputs) for key, entry in value.items()}
        kept = {key: entry for key, entry in pairs.items() if entry is not _ABSENT}
        return kept if kept or not pairs else _ABSENT
    return value


def _fill_string(value: str, inputs: Mapping[str, Any]) -> Any:
    names = PLACEHOLDER.findall(value)
    if any(inputs.get(name) is None for name in names):
        return _ABSENT
    if names and value == f"{{{names[0]}}}":
        return inputs[names[0]]
    return fill_text(value, inputs)


def encode(body: object, encoding: str) -> tuple[str, bytes]:
    """Give content type and bytes of a body, as JSON or as a bracketed form.

    >>> encode({"a": {"b": [1, True]}}, "form")
    ('application/x-www-form-urlencoded', b'a%5Bb%5D%5B0%5D=1&a%5Bb%5D%5B1%5D=true')
    """
    if encoding == "form":
        return "application/x-www-form-urlencoded", urlencode(list(_brackets("", body))).encode()
    return "application/json", json.dumps(body, default=_number).encode()


def _brackets(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _brackets(f"{prefix}[{key}]" if prefix else str(key), entry)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _brackets(f"{prefix}[{index}]", entry)
    else:
        yield prefix, _text(value)


def _number(value: object) -> float:
    # A decimal number on the wire; amounts of money have few enough digits to survive a float.
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
