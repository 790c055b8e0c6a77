"""Reads a target's metrics, as its profile's `[evidence.metrics]` says where and by which names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from harness.errors import Unknown
from harness.target.wire import Call, NoReply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.samples import Sample

    from harness.target.profile import Metrics
    from harness.target.wire import Reply

    Send: TypeAlias = Callable[[Call], Reply | NoReply]

_TIMEOUT_S = 10.0
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_OK = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """What the metrics said at one moment."""

    samples: tuple[Sample, ...]

    def total(self, series: str) -> float:
        """Add up what a series selects; one that is not there counts as zero, as in a panel."""
        return sum(sample.value for sample in self._selected(series))

    def shows(self, series: str) -> bool:
        """Whether there is anything of a series."""
        return any(True for _ in self._selected(series))

    def _selected(self, series: str) -> Iterator[Sample]:
        name, _, selector = series.partition("{")
        labels = dict(_LABEL.findall(selector)).items()
        for sample in self.samples:
            if sample.name == name and labels <= sample.labels.items():
                yield sample


def scrape(metrics: Metrics, send: Send | None = None) -> Reading:
    """Read the metrics once. Raises `Unknown` where they cannot be read; `send` is for tests."""
    call = Call("GET", "", headers=tuple(metrics.headers.items()))
    if send is None:
        with Transport(metrics.url, _TIMEOUT_S) as transport:
            reply = transport.send(call)
    else:
        reply = send(call)
    if isinstance(reply, NoReply):
        raise Unknown(f"the metrics cannot be read: {reply.reason}")
    if reply.status != _OK:
        raise Unknown(f"the metrics cannot be read: HTTP {reply.status}")
    try:
        families = text_string_to_metric_families(reply.body.decode("utf-8"))
        return Reading(tuple(sample for family in families for sample in family.samples))
    except (ValueError, KeyError, IndexError) as error:
        raise Unknown(f"the metrics are not Prometheus' text: {error}") from None
