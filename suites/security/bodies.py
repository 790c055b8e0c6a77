"""Bodies that break parsers: too deep, too big, twice named, half sent, of another kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEEP = 5_000
DIGITS = 5_000
NAMES = 4_000

ODD_BODIES: Mapping[str, bytes] = {
    "half an object": b'{"x": ',
    "nothing but a list": b"[]",
    "a bare null": b"null",
    "a bare number": b"1",
    "not UTF-8": b'{"x": "\xff\xfe"}',
    "a NUL": b'{"x": "\\u0000"}',
    "half a surrogate pair": b'{"x": "\\ud800"}',
    "not a number": b'{"x": NaN}',
    "an endless number": b'{"x": 1e99999}',
    "a field of every kind": b'{"x": {"$ne": null}, "__proto__": {"y": 1}, "constructor": []}',
}
HEAVY_BODIES: Mapping[str, bytes] = {
    "a very deep list": b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a very deep object": b'{"x":' * DEEP + b"1" + b"}" * DEEP,
    "a number of thousands of digits": b'{"x": ' + b"9" * DIGITS + b"}",
    "thousands of fields": b"{" + b",".join(b'"x%d":1' % n for n in range(NAMES)) + b"}",
    "a text of megabytes": b'{"x": "' + b"x" * 2_000_000 + b'"}',
    "thousands of brackets in a form": b"&".join(b"x[%d][y]=1" % n for n in range(NAMES)),
    "an entity of entities": b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><l>&b;&b;&b;&b;</l>',
}
