"""Breakpoint: the rate is raised until an objective breaks; the last that held is the capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from suites.load.scenarios.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from suites.load.measuring.result import Result

_STEPS_MAX = 20


class Breakpoint(Usage):
    """The usage scenario again and again, each time at a higher rate.

    The rate is doubled until an objective breaks; then the gap between the last rate that held and
    the first that did not is halved, until it is small. `rate` is the first, `duration_s` of each.
    """

    name: ClassVar[str] = "breakpoint"
    help: ClassVar[str] = "Usage at rising rates until an objective breaks: the capacity."
    rate: ClassVar[float] = 10.0
    duration_s: ClassVar[float] = 20.0
    extras: ClassVar[Mapping[str, tuple[float, str]]] = {
        **Usage.extras,
        "precision": (0.15, "how near, as a share of it, the capacity is to be told"),
        "highest": (2000.0, "arrivals a second beyond which nobody wants to know"),
    }


def search(
    first: float, highest: float, precision: float, attempt: Callable[[float], bool | None]
) -> float | None:
    """Find the highest rate that holds; None where not even the first does.

    `attempt` says whether a rate held, or None where it cannot be told, which ends the search.
    """
    held: float | None = None
    broke: float | None = None
    rate = first
    for _ in range(_STEPS_MAX):
        said = attempt(rate)
        if said is None:
            break
        held, broke = (rate, broke) if said else (held, rate)
        if held is None or held >= highest:
            break
        if broke is None:
            rate = min(rate * 2, highest)
        elif broke - held <= precision * broke:
            break
        else:
            rate = (held + broke) / 2
    return held


def step_of(rate: float, result: Result) -> dict[str, object]:
    """Tell what one rate came to."""
    return {
        "rate": rate,
        "held": result.exit_status == 0,
        "latency_ms": result.latency_ms,
        "error_ratio": result.error_ratio,
        "verdict": result.verdict,
        "broke": [*result.missed, *result.void_reasons, *result.unknown_reasons],
        "cpu": result.generator.get("cpu"),
    }
