"""Writes a profile as TOML, each question as a comment above the key that it is about."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LINE_CHARS = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def table(
    name: str, data: Mapping[str, Any], questions: Sequence[tuple[str, str]] = ()
) -> Iterator[str]:
    """Give the lines of a table; what is too long for a line becomes a table of its own."""
    yield f"[{name}]"
    known = set(data)
    for key, text in questions:
        if key.partition(".")[0] not in known:
            yield from question(f"{key}: {text}" if key else text)
    later: list[str] = []
    for key, value in data.items():
        line = f"{key_of(key)} = {_value(value)}"
        lines = [
            part
            for about, text in questions
            if about.partition(".")[0] == key
            for part in question(f"{about}: {text}")
        ]
        if isinstance(value, dict) and value and len(line) > _LINE_CHARS:
            own = list(table(f"{name}.{key_of(key)}", value))
            later += ["", own[0], *lines, *own[1:]]
        else:
            yield from lines
            yield line
    yield from later


def question(text: str) -> list[str]:
    """Give a question to the person as comment lines."""
    lines = comment(text)
    return [f"# ? {lines[0][2:]}", *(f"#   {line[2:]}" for line in lines[1:])]


def comment(text: str) -> list[str]:
    """Give text as comment lines; nothing in it can end them."""
    wrapped = textwrap.wrap(in_one_line(text) or "-", _LINE_CHARS - 4, break_on_hyphens=False)
    return [f"# {line}" for line in wrapped]


def in_one_line(text: str) -> str:
    """Give somebody else's text without what could end a comment, or be no text at all."""
    return _CONTROL.sub(" ", text).strip()


def key_of(key: str) -> str:
    """Write a key; one that is no bare key is quoted."""
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key_of(str(key))} = {_value(entry)}" for key, entry in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 2**63:
        return str(value)
    return _string(str(value))


def _string(text: str) -> str:
    """Write a string; JSON's escapes are TOML's, but for a lone half of a character and DEL."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    if "\\" in whole and "'" not in whole and not _CONTROL.search(whole):
        return f"'{whole}'"
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
