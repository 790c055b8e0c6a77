"""Keeps secrets out of whatever is written."""

from __future__ import annotations

import re
import threading
from typing import Any

_SHORTEST = 6


class Redactor:
    """Replaces every secret that it knows in text, however deep that text lies in plain data.

    Secrets are added as they become known, from any thread. Those shorter than six characters are
    not replaced: they would mangle unrelated text, and are no secrets.
    """

    def __init__(self, secrets: frozenset[str] = frozenset()) -> None:
        self._lock = threading.Lock()
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Learn a secret."""
        if not secret or len(secret) < _SHORTEST or secret in self._secrets:
            return
        with self._lock:
            self._secrets.add(secret)
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def text(self, text: str) -> str:
        """Give text without the secrets."""
        return self._pattern.sub("[secret]", text) if self._pattern else text

    def data(self, value: Any) -> Any:
        """Give plain data (tables, lists, text, numbers) without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.data(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.data(entry) for entry in value]
        return value
