"""Reads dashboards into Grafana's own types and back: what is lost there, Grafana does not know."""

from __future__ import annotations

import importlib
import importlib.util
import json
from typing import TYPE_CHECKING, Any

from dashboards.checks import Finding, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PACKAGE = "grafana_foundation_sdk"
KEPT = {
    "templating.list.[].definition": "Grafana's editor shows it; its published types lack it",
    "annotations.list.[].step": "Prometheus' data source reads it; the published types lack it",
    "annotations.list.[].titleFormat": "the same: the words of a deployment's mark",
}
"""The paths that may be lost, each with the reason why they are written all the same."""


def check_roundtrip(
    dashboards: Mapping[str, Mapping[str, Any]],
    through: Callable[[Mapping[str, Any]], Any] | None = None,
) -> tuple[list[Finding], list[Skipped]]:
    """Find every path of keys that does not come back; `through` is for tests."""
    if through is None:
        if importlib.util.find_spec(_PACKAGE) is None:
            return [], [Skipped("roundtrip", "grafana-foundation-sdk is not installed")]
        through = _through_the_sdk
    found = []
    for name, data in dashboards.items():
        lost = set(_paths(data)) - set(_paths(through(data))) - set(KEPT)
        found += [
            Finding("roundtrip", name, f"Grafana's types do not know {path}")
            for path in sorted(lost)
        ]
    return found, []


def _through_the_sdk(data: Mapping[str, Any]) -> Any:
    """Decode and encode by the SDK's types of the Grafana for which it was made."""
    importlib.import_module(f"{_PACKAGE}.cog.plugins").register_default_plugins()
    decoded = importlib.import_module(f"{_PACKAGE}.models.dashboard").Dashboard.from_json(data)
    encoder = importlib.import_module(f"{_PACKAGE}.cog.encoder").JSONEncoder
    return json.loads(encoder().encode(decoded))


def _paths(data: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the path of every value that is not empty; items of a list share theirs."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _paths(value, (*path, key))
    elif isinstance(data, list) and data:
        for value in data:
            yield from _paths(value, (*path, "[]"))
    elif data not in ({}, []):
        yield ".".join(path)
