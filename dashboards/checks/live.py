"""Reads a service's /metrics once and tells what the billing dashboard would miss there."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from dashboards.checks import Finding
from harness.errors import TargetError, TargetUnreachable
from harness.metrics import CATALOGUE
from harness.metrics.catalogue import WATCHED_MAX
from harness.target.wire import Call, NoReply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric as Family

    from harness.metrics import Metric
    from harness.target.wire import Reply

TOKEN = "METRICS_TOKEN"  # noqa: S105 - the name of a variable
TIMEOUT_S = 10.0
PAGE_BYTES_MAX = 8 * 1024 * 1024
_OK, _UNAUTHORISED = 200, frozenset({401, 403})
_OWNERS = frozenset({"customer", "customer_segment", "version", "commit"})
_INNER = frozenset({"le", "quantile"})
_NO_TOKEN = f"Set {TOKEN} to the token with which Prometheus scrapes it: none was set, or another."
_WHOLE = "Give the whole address, as Prometheus scrapes it: --metrics http://HOST/metrics"


def read_page(
    url: str,
    send: Callable[[Call], Reply | NoReply] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """Read a page of metrics, with METRICS_TOKEN as a bearer token where it is set.

    `headers`, where given, are sent instead. Raises `TargetUnreachable` or `TargetError`. Only
    reads; `send` is for tests.
    """
    if headers is None:
        token = os.environ.get(TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
    if not _is_address(url):
        raise TargetError(f"{url!r} is no address", hint=_WHOLE)
    base = url.rstrip("/")
    call = Call("GET", "" if urlsplit(base).path else "/", headers=tuple(headers.items()))
    if send is None:
        with Transport(base, timeout_s) as transport:
            reply = transport.send(call)
    else:
        reply = send(call)
    if isinstance(reply, NoReply) and reply.reason == "too_large":
        raise _too_large(url)
    if isinstance(reply, NoReply):
        why = f"no answer within {timeout_s:g} s" if reply.reason == "timeout" else reply.detail
        raise TargetUnreachable(f"the metrics at {url} cannot be read: {why}", hint=_WHOLE)
    return _text(url, reply)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _too_large(url: str) -> TargetError:
    return TargetError(
        f"the metrics at {url} are larger than {PAGE_BYTES_MAX // 1024**2} MiB",
        hint="A label without bounds, most likely: customer ids do not belong in labels.",
    )


def _text(url: str, reply: Reply) -> str:
    if reply.status != _OK:
        hint = _NO_TOKEN if reply.status in _UNAUTHORISED else "Is this its /metrics?"
        raise TargetError(f"the metrics at {url} answer {reply.status}", hint=hint)
    if len(reply.body) > PAGE_BYTES_MAX:
        raise _too_large(url)
    try:
        return reply.body.decode("utf-8")
    except UnicodeDecodeError:
        raise TargetError(f"the metrics at {url} are no text", hint="Is this /metrics?") from None


def check_page(page: str, metrics: Mapping[str, Metric] = CATALOGUE) -> list[Finding]:
    """Find what a page lacks of the catalogue, and what it names or labels otherwise.

    Raises `TargetError` where it is not Prometheus' text.
    """
    try:
        families = {_bare(f.name): f for f in text_string_to_metric_families(page)}
    except (ValueError, KeyError, IndexError) as error:
        raise TargetError(
            f"the page is not Prometheus' text: {str(error)[:200]}", hint="Is this its /metrics?"
        ) from None
    known = {_bare(name): metric for name, metric in metrics.items()}
    found = []
    for bare, metric in known.items():
        if bare in families:
            found += [Finding("metrics", metric.name, what) for what in _of(metric, families[bare])]
        else:
            found.append(Finding("metrics", metric.name, _missing(bare, families, known)))
    for bare in sorted(set(families) - set(known)):
        if bare.startswith("billing_") and not bare.endswith("_created"):
            what = "the service tells it, and no dashboard shows it"
            found.append(Finding("metrics", families[bare].name, what))
    return found


def _bare(name: str) -> str:
    return name.removesuffix("_total")


def _missing(bare: str, families: Mapping[str, Family], known: Mapping[str, Metric]) -> str:
    strange = sorted(set(families) - set(known))
    near = difflib.get_close_matches(bare, strange, 1, 0.75)
    return "it is missing" + (f"; is {near[0]} meant to be it?" if near else "")


def _of(metric: Metric, family: Family) -> Iterator[str]:
    if family.type != metric.kind:
        yield f"it is a {family.type}, not a {metric.kind}"
    series = set()
    for sample in family.samples:
        if sample.name.endswith("_created"):
            continue
        labels = {k: v for k, v in sample.labels.items() if k not in _INNER}
        if set(labels) != set(metric.labels):
            yield f"its labels are {sorted(labels)}, not {sorted(metric.labels)}"
            return
        series.add(tuple(sorted(labels.items())))
    yield from _values(metric, series)


def _values(metric: Metric, series: set[tuple[tuple[str, str], ...]]) -> Iterator[str]:
    for label, declared in metric.labels.items():
        told = {dict(each)[label] for each in series}
        if label not in _OWNERS:
            for odd in sorted(told - set(declared))[:3]:
                yield f"its label {label} has the value {odd!r}, which is not declared"
        elif len(told) > WATCHED_MAX + 1:
            yield f"its label {label} has {len(told)} values; {WATCHED_MAX + 1} is the most"
