"""What somebody does to a request who does not keep to the API."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.target.wire import Call

    Alter = Callable[[Call], Call]


def adding(fields: Mapping[str, Any]) -> Alter:
    """Add fields to a body, at its top and in each table inside, but never over one that is sent.

    A call without a body stays as it is.
    """

    def alter(call: Call) -> Call:
        if not call.body:
            return call
        if is_form(call):
            pairs = parse_qsl(call.body.decode(), keep_blank_values=True)
            names = {name for name, _ in pairs}
            prefixes = {"", *(name.rpartition("[")[0] for name in names)}
            more = [
                (f"{prefix}[{name}]" if prefix else name, str(value))
                for prefix in sorted(prefixes)
                for name, value in fields.items()
            ]
            kept = [pair for pair in more if pair[0] not in names]
            return replace(call, body=urlencode([*pairs, *kept]).encode())
        return _rewritten(call, lambda table: {**fields, **table})

    return alter


def sending(body: bytes) -> Alter:
    """Send another body, where there is one."""
    return lambda call: replace(call, body=body) if call.body else call


def asking(name: str, value: str) -> Alter:
    """Add a parameter to the address."""
    return lambda call: replace(call, query=(*call.query, (name, value)))


def saying(name: str, value: str) -> Alter:
    """Set a header."""
    return lambda call: call.with_header(name, value)


def spelled(spell: Callable[[str], str]) -> Alter:
    """Write the path in another way."""
    return lambda call: replace(call, path=spell(call.path))


def being(method: str) -> Alter:
    """Use another method."""
    return lambda call: replace(call, method=method)


def asked_for(path: str) -> Alter:
    """Ask for another path, with no parameters."""
    return lambda call: replace(call, path=path, query=())


def chained(*alters: Alter) -> Alter:
    """Do one after the other."""

    def alter(call: Call) -> Call:
        for each in alters:
            call = each(call)
        return call

    return alter


def is_form(call: Call) -> bool:
    """Whether a body is a form's; every other one is JSON."""
    kinds = [value for name, value in call.headers if name.lower() == "content-type"]
    return any("form-urlencoded" in kind for kind in kinds)


def _rewritten(call: Call, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Call:
    return replace(call, body=json.dumps(_changed(json.loads(call.body), change)).encode())


def _changed(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        return change({name: _changed(entry, change) for name, entry in value.items()})
    return value
