"""An owner's own names: of metrics and labels, from the section `[metrics]` of a profile.

Definitions, oracles and proofs speak the names of `harness.metrics`; what is generated from them is
put into the owner's words at the end, and what a service tells is read by the same words.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.errors import SettingsError
from harness.metrics import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.metrics import Metric
    from harness.target.profile import MetricNames

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\$\{?\w+\}?|[A-Za-z_:][\w:]*|.', re.DOTALL)
_NAME = re.compile(r"[A-Za-z_:]")
_METRIC = re.compile(r"(?<![:\w])billing_\w+(?![:\w])")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
_IN_WORDS = re.compile(r"(\{\{\s*(?:\$labels\.)?)(\w+)")
_SCRAPED = frozenset({"job", "instance", "le", "quantile"})
_QUERIES = frozenset({"expr", "series", "definition", "query", "labels"})
_WORDS = frozenset({"legendFormat", "titleFormat", "description", "summary"})


@dataclass(frozen=True, slots=True)
class Naming:
    """Pairs of our name and the owner's, of metrics and of labels; what is not named stays."""

    names: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def expr(self, text: str) -> str:
        """Put PromQL into the owner's words: metrics with their suffixes, and labels.

        >>> naming = Naming((("billing_x", "acme_x"),), (("plan", "tier"),))
        >>> naming.expr('sum by (plan) (rate(billing_x_bucket{plan=~"$plan", le="plan"}[5m]))')
        'sum by (tier) (rate(acme_x_bucket{tier=~"$plan", le="plan"}[5m]))'
        >>> naming.expr("label_values(billing_x, plan)")
        'label_values(acme_x, tier)'
        """
        if asked := _VALUES.fullmatch(text):
            return f"label_values({self.expr(asked[1])}, {self.label(asked[2])})"
        return "".join(self._tokens(text))

    def metric(self, name: str) -> str:
        """Give the owner's name of a metric, or of a histogram's bucket, sum or count."""
        names = dict(self.names)
        if name in names:
            return names[name]
        base = _SUFFIX.sub("", name)
        return names.get(base, base) + name.removeprefix(base)

    def label(self, name: str) -> str:
        """Give the owner's name of a label."""
        return dict(self.labels).get(name, name)

    def our_label(self, name: str) -> str:
        """Give our name of a label of the owner's."""
        return {own: ours for ours, own in self.labels}.get(name, name)

    def text(self, text: str) -> str:
        """Put the owner's names for those of metrics in words for people."""
        return _METRIC.sub(lambda found: self.metric(found[0]), text)

    def data(self, data: Any) -> Any:
        """Put every query and every template of a dashboard, rule or test file into his words."""
        if isinstance(data, list):
            return [self.data(each) for each in data]
        if isinstance(data, dict):
            return {key: self._value(key, value) for key, value in data.items()}
        return data

    def catalogue(self, metrics: Mapping[str, Metric] = CATALOGUE) -> Mapping[str, Metric]:
        """Give the metrics as a service of the owner's tells them."""
        found = {}
        for metric in metrics.values():
            labels = {self.label(name): values for name, values in metric.labels.items()}
            name = self.metric(metric.name)
            found[name] = replace(metric, name=name, labels=MappingProxyType(labels))
        return MappingProxyType(found)

    def _value(self, key: str, value: Any) -> Any:
        if not isinstance(value, str):
            return self.data(value)
        if key in _QUERIES:
            return self.expr(value)
        if key in _WORDS:
            return _IN_WORDS.sub(lambda found: found[1] + self.label(found[2]), self.text(value))
        return value

    def _tokens(self, text: str) -> Iterator[str]:
        depth, lists, is_list = 0, [False], False
        for part in _TOKEN.findall(text):
            if part in "{}":
                depth += 1 if part == "{" else -1
            elif part == "(":
                lists.append(is_list)
            elif part == ")" and len(lists) > 1:
                lists.pop()
            if not part.isspace():
                is_list = part in _LISTS
            if not _NAME.match(part):
                yield part
            elif depth or lists[-1]:
                yield self.label(part)
            else:
                yield self.metric(part)


OURS = Naming()


def read_naming(section: MetricNames) -> Naming:
    """Read a profile's `[metrics]`. Raises `SettingsError` telling all its mistakes."""
    if problems := [*_odd_names(section), *_odd_labels(section)]:
        raise SettingsError(
            "\n".join(["[metrics] of the profile makes no sense:", *(f"  {p}" for p in problems)]),
            hint="The names and labels that can be mapped are in docs/TELEMETRY.md.",
        )
    return Naming(tuple(section.names.items()), tuple(section.labels.items()))


def _odd_names(section: MetricNames) -> Iterator[str]:
    for name in section.names:
        if name not in CATALOGUE:
            yield f"names: there is no metric {name}"
    told = Counter(section.names.get(name, name) for name in CATALOGUE)
    yield from (f"names: {count} metrics are called {name}" for name, count in told.items() if count > 1)  # noqa: E501  # fmt: skip  # one sentence


def _odd_labels(section: MetricNames) -> Iterator[str]:
    known = {label for metric in CATALOGUE.values() for label in metric.labels}
    for label, own in section.labels.items():
        if label not in known:
            yield f"labels: no metric has a label {label}"
        if own in _SCRAPED:
            yield f"labels: {own} is set by Prometheus, and {label} cannot be it"
    told = Counter(section.labels.get(label, label) for label in known)
    yield from (f"labels: {count} labels are called {name}" for name, count in told.items() if count > 1)  # noqa: E501  # fmt: skip  # one sentence
