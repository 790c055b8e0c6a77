"""What attackers send, read from `fixtures/payloads`: data only, so that anybody can add to it."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.target.load import fixtures_folder

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def payloads(name: str) -> Mapping[str, Any]:
    """Give a list of payloads by the name of its file."""
    text = (fixtures_folder() / "payloads" / f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)
