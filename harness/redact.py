"""Keeps secrets out of whatever is written."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORTEST = 6
_NEVER = "(?!)"


class Redactor:
    """Replaces every secret that it knows in text, however deep that text lies in plain data.

    Secrets are added as they become known, from any thread, and are known as JSON, paths and forms
    write them too. Those shorter than six characters are
    not replaced: they would mangle unrelated text, and are no secrets.
    """

    def __init__(self, secrets: frozenset[str] = frozenset()) -> None:
        self._lock = threading.Lock()
        self._secrets: set[str] = set()
        self._pattern = re.compile(_NEVER)
        self._raw = re.compile(_NEVER.encode())
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Learn a secret."""
        if not secret or len(secret) < _SHORTEST or secret in self._secrets:
            return
        with self._lock:
            self._secrets.add(secret)
            written = {text for known in self._secrets for text in _spellings(known)}
            pattern = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
            self._pattern = re.compile(pattern)
            self._raw = re.compile(pattern.encode())

    def text(self, text: str) -> str:
        """Give text without the secrets."""
        return self._pattern.sub("[secret]", text)

    def raw(self, body: bytes) -> bytes:
        """Give a body without the secrets."""
        return self._raw.sub(b"[secret]", body)

    def data(self, value: Any) -> Any:
        """Give plain data (tables, lists, text, numbers) without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.data(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.data(entry) for entry in value]
        return value


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
