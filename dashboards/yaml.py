"""Writes plain data as YAML that people read: block style, every text in JSON's quotes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def to_yaml(data: Any, heading: str = "") -> str:
    """Give data as YAML, under lines of comment.

    >>> print(to_yaml({"groups": [{"name": "a", "rules": []}]}), end="")
    groups:
      - name: "a"
        rules: []
    """
    comment = [f"# {line}" for line in heading.splitlines()]
    return "\n".join([*comment, *_lines(data)]) + "\n"


def _lines(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            name = key if _PLAIN.fullmatch(key) else json.dumps(key)
            if isinstance(value, (dict, list)) and value:
                yield f"{name}:"
                yield from (f"  {line}" for line in _lines(value))
            else:
                yield f"{name}: {_scalar(value)}"
    else:
        for item in data:
            first, *rest = _lines(item) if isinstance(item, (dict, list)) else [_scalar(item)]
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
