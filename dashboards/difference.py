"""Tells two dashboards apart: what an import would change, and what came back otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Grafana's own numbers of what it stores; a newer Grafana raises the last one as it reads.
_GRAFANAS = frozenset({"id", "version", "schemaVersion"})


def changes(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[str]:
    """Tell in lines what becomes of a dashboard: `+` new, `-` gone, `~` changed.

    >>> changes({"title": "A", "panels": [{"title": "p"}]}, {"title": "B", "panels": []})
    ['- panel “p”', '~ title']
    """
    if old is None:
        return [f"+ dashboard “{new['title']}”, {len(_panels(new))} panels"]
    before, after = _panels(old), _panels(new)
    told = [f"+ panel “{title}”" for title in after if title not in before]
    told += [f"- panel “{title}”" for title in before if title not in after]
    for title in [title for title in after if title in before]:
        if parts := _differing(before[title], after[title]):
            told.append(f"~ panel “{title}”: {', '.join(parts)}")
    parts = _differing(_rest(old), _rest(new))
    return told + [f"~ {part}" for part in parts]


def lost(sent: Any, found: Any, path: str = "") -> Iterator[str]:
    """Name every place at which what was sent did not come back; what was added is no loss.

    >>> list(lost({"a": [1, {"b": 2}], "id": 1}, {"a": [1, {"b": 3}], "id": 7, "x": 0}))
    ['a.1.b']
    """
    if isinstance(sent, dict) and isinstance(found, dict):
        for key, value in sent.items():
            if path or key not in _GRAFANAS:
                yield from lost(value, found.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(sent, list) and isinstance(found, list) and len(sent) == len(found):
        for number, (ours, theirs) in enumerate(zip(sent, found, strict=True)):
            yield from lost(ours, theirs, f"{path}.{number}")
    elif sent != found and (sent or found):
        yield path


def _panels(dashboard: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Give panels by title, rows too; a title that comes again gets its number."""
    found: dict[str, Mapping[str, Any]] = {}
    for number, panel in enumerate(dashboard.get("panels") or []):
        title = str(panel.get("title") or panel.get("type") or "without title")
        found[title if title not in found else f"{title} ({number})"] = panel
    return found


def _rest(dashboard: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in dashboard.items() if k != "panels" and k not in _GRAFANAS}


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    keys = sorted({*old, *new})
    return [key for key in keys if old.get(key) != new.get(key) and (old.get(key) or new.get(key))]
