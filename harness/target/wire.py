"""What goes over the wire, as plain data: security tests change it, every driver sends it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request.

    `path` is relative to the target's address and already quoted. Header text is Latin-1, as
    HTTP/1.1 sends it, so that odd bytes can be written down.
    """

    method: str
    path: str
    query: Pairs = ()
    headers: Pairs = ()
    body: bytes = b""

    def with_header(self, name: str, value: str) -> Call:
        """Give the same call with one header set, in place of any of that name."""
        return replace(self, headers=(*self.without_header(name).headers, (name, value)))

    def without_header(self, name: str) -> Call:
        """Give the same call without a header."""
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return replace(self, headers=kept)


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and raw body of an answer."""

    status: int
    headers: Pairs = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Give the first header of a name, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """Parse the body; decimals stay exact. Raises `ValueError` where it is not JSON."""
        return json.loads(self.body, parse_float=Decimal)


NoReplyReason = Literal["unreachable", "timeout", "reset", "too_large", "not_http"]


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer came. `sent` tells whether the target may have received the request."""

    reason: NoReplyReason
    sent: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause between two calls; each driver waits in its own way."""

    seconds: float
    why: str
