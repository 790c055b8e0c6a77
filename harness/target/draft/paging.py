"""How a list goes on to its next page, guessed from its parameters and its reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.target.draft.words import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.target.draft.endpoints import Endpoint, Field

_SIZE = 100
_SIZES = ("limit", "per page", "page size", "size", "count", "max result", "take", "first")
_CURSORS = ("cursor", "page token", "next token", "starting after", "after", "continuation")
_OFFSETS = ("offset", "skip", "start index", "from")
_PAGES = ("page", "page number", "p")
_NEXT = ("next cursor", "next page token", "next token", "next", "cursor", "end cursor", "after")
_TOTAL = ("total", "total count", "total result", "count")
_MORE = ("has more", "has next", "more", "has next page")


def page_of(endpoint: Endpoint) -> tuple[dict[str, Any] | None, str]:
    """Give a profile's `page` of a list, or None where it seems to have one; and a question."""
    from harness.target.draft.mapping import expression

    flat = [each for each in endpoint.reply if "[]" not in each.path]
    size = _named(endpoint.query, _SIZES)
    sized: dict[str, Any] = {}
    if size:
        sized = {"size_param": size.name, "size": min(_SIZE, size.maximum or _SIZE)}
    following, total, more = (_named(flat, names) for names in (_NEXT, _TOTAL, _MORE))
    end = {
        name: expression(found.path)
        for name, found in (("total", total), ("more", more))
        if found is not None
    }
    if cursor := _named(endpoint.query, _CURSORS):
        page = {"style": "cursor", "param": cursor.name, **sized}
        if following:
            return {**page, "next": expression(following.path)}, ""
        return _after_the_last(endpoint, page, more)
    for style, names in (("offset", _OFFSETS), ("page", _PAGES)):
        if param := _named(endpoint.query, names):
            start = _start(style, param)
            told = "" if end else "is there a field with the total, or whether there is more?"
            return {"style": style, "param": param.name, **sized, **start, **end}, told
    if "link" in endpoint.reply_headers:
        return {"style": "link", **sized}, ""
    return None, "its pages are limited, but how does it go on?" if size else ""


def _after_the_last(
    endpoint: Endpoint, page: dict[str, Any], more: Field | None
) -> tuple[dict[str, Any], str]:
    """Go on after the last item's id, as Stripe does, where the reply names no cursor."""
    from harness.target.draft.mapping import expression

    place = expression(endpoint.lists[0])
    last = f"{place}[-1].id"
    condition = f"{expression(more.path)} && {last}" if more else last
    return {**page, "next": condition}, "is the cursor the id of the last item?"


def _start(style: str, param: Field) -> dict[str, int]:
    value = param.value
    is_zero = value == 0 and not isinstance(value, bool)
    return {"start": 0 if is_zero else 1} if style == "page" else {}


def _named(fields: Iterable[Field], names: tuple[str, ...]) -> Field | None:
    """Give the field of the best name; several words may stand in any order."""
    among = list(fields)
    for name in names:
        for each in among:
            if sorted(words(each.name)) == sorted(name.split()):
                return each
    return None
