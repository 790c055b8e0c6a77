"""Bracketed forms: ``items[0][price]=p&expand[]=x`` read into nested data, all leaves text."""

import re
from urllib.parse import parse_qsl

from simulators.stripe.errors import BadParameters

Raw = str | list["Raw"] | dict[str, "Raw"]

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_SEGMENT = re.compile(r"\[([^\[\]]*)\]")
_DEPTH_MAX = 8
_FIELDS_MAX = 2_000


def decode_form(text: str) -> dict[str, Raw]:
    """Read a body or a query; raise `BadParameters` for one that makes no sense.

    Numbered keys stay a hash here: only the endpoint's schema knows what is a list.

    >>> decode_form("items[0][price]=p&expand[]=a&expand[]=b")
    {'items': {'0': {'price': 'p'}}, 'expand': ['a', 'b']}
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise BadParameters(f"Invalid request: the form cannot be read ({error}).") from None
    root: dict[str, Raw] = {}
    for key, value in pairs:
        _place(root, _split(key), value, key)
    return root


def _split(key: str) -> list[str]:
    match = _KEY.fullmatch(key)
    if match is None:
        raise BadParameters(f"Invalid parameter name: {key[:100]}", param=key[:100])
    path = [match[1], *_SEGMENT.findall(match[2])]
    if len(path) > _DEPTH_MAX:
        raise BadParameters(f"Parameter nested too deeply: {match[1]}", param=match[1])
    return path


def _place(root: dict[str, Raw], path: list[str], value: str, key: str) -> None:
    """Put `value` where `path` says; "" in a path appends to a list, as in Rack."""
    node: Raw = root
    for here, after in zip(path, [*path[1:], None], strict=True):
        child: Raw = value if after is None else [] if after == "" else {}
        if isinstance(node, dict) and here:
            node = node.setdefault(here, child)
        elif isinstance(node, list) and not here:
            node = _append(node, child, after, last=after is path[-1])
        else:
            raise _conflict(key)
        if type(node) is not type(child):
            raise _conflict(key)


def _append(items: list[Raw], child: Raw, after: str | None, *, last: bool) -> Raw:
    """Add to a list; a hash at its end takes keys until one of them repeats."""
    tail = items[-1] if items else None
    repeats = isinstance(tail, dict) and last and after in tail
    if isinstance(child, dict) and isinstance(tail, dict) and not repeats:
        return tail
    items.append(child)
    return child


def _conflict(key: str) -> BadParameters:
    return BadParameters(
        f"Invalid request: parameter {key[:100]} is given in two shapes.", param=key[:100]
    )
