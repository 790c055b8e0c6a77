"""The kinds of faults there are, and what can be said about each.

A request's fault changes how the API answers; a delivery's, how an event goes out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulators.stripe.versions import SUPPORTED

_SECONDS_MAX = 366 * 86_400
_SAMPLES_MAX = 100_000


class BadFault(ValueError):
    """A fault that cannot be; the message says everything that is wrong with it."""


@dataclass(frozen=True)
class Parameter:
    """Something that is said about a fault: what it must be, and what it is if not said."""

    expected: str
    fits: Callable[[Any], bool]
    default: Any = None


def is_number(value: object) -> bool:
    """Tell whether a value is a number, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(low: int, high: int, default: int | None = None) -> Parameter:
    """Return a whole number from `low` to `high`."""

    def fits(value: object) -> bool:
        return isinstance(value, int) and is_number(value) and low <= value <= high

    return Parameter(f"a whole number from {low} to {high}", fits, default)


def seconds(default: float | None = None, high: float = _SECONDS_MAX) -> Parameter:
    """Return a length of time."""

    def fits(value: object) -> bool:
        return isinstance(value, int | float) and is_number(value) and 0 <= value <= high

    return Parameter(f"seconds from 0 to {high}", fits, default)


def one_of(*words: str, default: str | None = None) -> Parameter:
    """Return one of a few words."""
    return Parameter(f"one of {', '.join(words)}", lambda value: value in words, default)


def _are_samples(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _SAMPLES_MAX
        and all(is_number(each) and 0 <= each <= _SECONDS_MAX for each in value)
    )


_EFFECT = one_of("undone", "none", "kept", default="undone")
_TOGETHER = {"size": whole(2, 10_000, 2), "within_s": seconds(0.5, 60)}

REQUEST_KINDS: Mapping[str, Mapping[str, Parameter]] = {
    "latency": {
        "seconds": seconds(None, 600),
        "samples_s": Parameter("a list of seconds", _are_samples),
        "effect": one_of("first", "last", default="last"),
    },
    "error": {"status": whole(500, 599, 500), "effect": _EFFECT},
    "rate_limit": {},
    "lock_timeout": {},
    "conflict": {},
    "reset": {"effect": one_of("none", "kept", default="kept")},
    "truncate": {"bytes": whole(0, 1_000_000)},
}
"""What can happen to a request.

`latency`: the answer waits; the effect comes "last", after the wait, or "first". `error`: a 5xx
whose effect is "none" (never begun, so no idempotency key remembers it), "undone" or "kept"
(both remembered). `rate_limit`, `lock_timeout`: 429. `conflict`: 409. `reset`: the connection is
reset, before ("none") or after ("kept") the effect. `truncate`: the answer ends after `bytes`,
by default half of it.
"""

DELIVERY_KINDS: Mapping[str, Mapping[str, Parameter]] = {
    "hold": {},
    "delay": {"seconds": whole(1, _SECONDS_MAX, 60)},
    "drop": {},
    "duplicate": {"times": whole(1, 1_000, 1), "seconds": whole(0, _SECONDS_MAX, 0)},
    "twin": {},
    "reorder": _TOGETHER,
    "burst": _TOGETHER,
    "before_answer": {"deadline_s": seconds(5.0, 60)},
    "api_version": {
        "version": Parameter("a supported API version", lambda value: value in SUPPORTED)
    },
}
"""What can happen to a delivery.

`hold`: kept back until it is released. `delay`: sent `seconds` of virtual time later. `drop`:
lost. `duplicate`: the same event `times` more, at once or each `seconds` of virtual time later.
`twin`: a second event, with an id of its own, for the same fact. `reorder`, `burst`: `size` of
them are gathered and leave in another order, one by one, or all at once. `before_answer`: the
API's answer waits until the delivery was attempted. `api_version`: in another version.
"""

KINDS = {**REQUEST_KINDS, **DELIVERY_KINDS}


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(each, str) for key, each in value.items()
    )


_PATTERN = Parameter("text; * and ? stand for any characters", lambda value: isinstance(value, str))
_TEXTS = Parameter("an object of texts", _is_texts)

_EVERYWHERE = {
    "customer": _PATTERN,
    "idempotency_key": _PATTERN,
    "metadata": _TEXTS,
    "method": _PATTERN,
    "path": _PATTERN,
    "body": _TEXTS,
}
REQUEST_MATCH: Mapping[str, Parameter] = _EVERYWHERE
DELIVERY_MATCH: Mapping[str, Parameter] = {
    **_EVERYWHERE,
    "event_type": _PATTERN,
    "object": _PATTERN,
    "webhook_endpoint": _PATTERN,
}
"""What a fault can ask of what it hits. A delivery is known by the request that caused it too."""


def match_of(kind: str) -> Mapping[str, Parameter]:
    """Return what a fault of this kind can ask; a twin is made before endpoints are looked at."""
    if kind in REQUEST_KINDS:
        return REQUEST_MATCH
    return {n: p for n, p in DELIVERY_MATCH.items() if kind != "twin" or n != "webhook_endpoint"}


SELECTION: Mapping[str, Parameter] = {
    "nth": whole(1, 10**9, 1),
    "count": whole(1, 10**9),
    "rate": Parameter(
        "a number from 0 to 1",
        lambda value: isinstance(value, int | float) and is_number(value) and 0 <= value <= 1,
    ),
    "seed": Parameter("a whole number", lambda value: isinstance(value, int) and is_number(value)),
}
"""Which of the matches are hit: from the `nth` on, `count` of them, each with chance `rate`."""
