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
_PUT = "[secret]"
_BEGIN = 4
_HEAD = 8
_RUN = "[A-Za-z0-9._~+/=%-]{24,}"
_KEY = re.compile(_RUN)
_RAW_KEY = re.compile(_RUN.encode())


class Redactor:
    """Replaces every secret that it knows in text, however deep that text lies in plain data.

    Secrets are added as they become known, from any thread, and are known as JSON, paths and forms
    write them too. Those shorter than six characters are
    not replaced: they would mangle unrelated text, and are no secrets.

    Keys as services make them (long, of letters as in base64, tokens of RFC 7519 and what a path
    makes of them) are looked up in a set instead of searched for one by one: a load knows ten
    thousand of them. Only where a key may begin, by the letters that those known begin with, is
    one looked for: a body of megabytes may be one run of such letters.
    """

    def __init__(self, secrets: frozenset[str] = frozenset()) -> None:
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._lengths: tuple[int, ...] = ()  # those of keys, the longest first
        self._heads: set[str] = set()
        self._begins: tuple[set[str], ...] = tuple(set() for _ in range(_BEGIN))
        self._begin = re.compile(_NEVER)  # what may begin a key
        self._secrets: set[str] = set()
        self._pattern = re.compile(_NEVER)
        self._raw = re.compile(_NEVER.encode())
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Learn a secret."""
        known = not secret or secret in self._keys or secret in self._secrets
        if not secret or len(secret) < _SHORTEST or known:
            return
        with self._lock:
            written = set(_spellings(secret))
            is_key = all(map(_KEY.fullmatch, written))
            if is_key and not any(_overlap(secret, odd) for odd in self._secrets):
                for key in written:
                    self._learn(key)
                return
            # Of two that hold each other, only a search for the longest leaves no tail.
            self._secrets |= {secret, *(key for key in self._keys if _overlap(key, secret))}
            written = {text for known in self._secrets for text in _spellings(known)}
            pattern = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
            self._pattern = re.compile(pattern)
            self._raw = re.compile(pattern.encode())

    def text(self, text: str) -> str:
        """Give text without the secrets."""
        text = self._pattern.sub(_PUT, text)
        return _KEY.sub(lambda run: self._blot(run[0]), text) if self._keys else text

    def raw(self, body: bytes) -> bytes:
        """Give a body without the secrets."""
        body = self._raw.sub(_PUT.encode(), body)
        if not self._keys:
            return body
        return _RAW_KEY.sub(lambda run: self._blot(run[0].decode()).encode(), body)

    def data(self, value: Any) -> Any:
        """Give plain data (tables, lists, text, numbers) without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.data(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.data(entry) for entry in value]
        return value

    def _learn(self, key: str) -> None:
        if len(key) not in self._lengths:
            self._lengths = tuple(sorted({*self._lengths, len(key)}, reverse=True))
        self._learn_begin(key)
        self._heads.add(key[:_HEAD])
        self._keys.add(key)

    def _learn_begin(self, key: str) -> None:
        if all(letter in known for letter, known in zip(key, self._begins, strict=False)):
            return
        for letter, known in zip(key, self._begins, strict=False):
            known.add(letter)
        letters = ("".join(map(re.escape, sorted(known))) for known in self._begins)
        self._begin = re.compile("".join(f"[{each}]" for each in letters))

    def _blot(self, run: str) -> str:
        """Replace every key in a run of letters that keys are made of."""
        kept: list[str] = []
        done = place = 0
        while begin := self._begin.search(run, place):
            place = begin.start()
            key = self._key_at(run, place) if run[place : place + _HEAD] in self._heads else None
            if key:
                kept += (run[done:place], _PUT)
                done = place + len(key)
            place += len(key or run[place])
        return "".join([*kept, run[done:]])

    def _key_at(self, run: str, place: int) -> str | None:
        parts = (run[place : place + length] for length in self._lengths)
        return next((part for part in parts if part in self._keys), None)


def _overlap(key: str, odd: str) -> bool:
    return key in odd or odd in key


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
