"""What a load came to, as one document; its verdict follows from the facts in it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Verdict = Literal["valid", "invalid", "unknown", "void"]
RESULT_FILE = "load.json"
INVALID, MISSED, UNKNOWN = 1, 99, 2


def figure(value: float) -> str:
    """Write a figure as people read it.

    >>> figure(10000), figure(9.8354), figure(0.08016)
    ('10,000', '9.835', '0.08016')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(slots=True)
class Result:
    """One load, as `--json` tells it. Durations are milliseconds.

    `scheduled` arrivals are `sent` (begun), `dropped` (too late, never begun) or `not_begun` (the
    run ended before); those sent are `completed` (an answer came), or went without one (a reason
    among `error_reasons`), or `unfinished` (the run ended first). `errors` are arrivals that did
    not come to what the scenario expects, whether answered or not.

    `latency_ms` counts from the intended start, `service_ms` from the actual one; both hold `p50
    p90 p95 p99 p999 max mean count clamped`. `spectrum` is a list of `[percentile, ms]`. `series`
    has a mapping for each interval: `t sent completed errors dropped p50 p99 max`. `kinds` has
    `count errors latency_ms service_ms spectrum` by kind of request. `counters` are the scenario's
    own. `workers` tell `index state scheduled sent dropped not_begun cpu lateness_ms_p99`; a state
    is `done`, `running` or `lost`. `findings` are breaches that the scenario's review found:
    mappings with `what` and `verdict`.
    """

    scenario: str
    model: str = "open"
    seed: int = 0
    run_id: str = ""
    started_at: float = 0.0
    started_monotonic: float = 0.0
    requested_rate: float = 0.0
    requested_rate_max: float = 0.0
    connections: int = 0
    scheduled: int = 0
    sent: int = 0
    completed: int = 0
    dropped: int = 0
    not_begun: int = 0
    unfinished: int = 0
    waited: int = 0
    errors: int = 0
    error_ratio: float = 0.0
    error_reasons: dict[str, int] = field(default_factory=dict)
    duration_s: float = 0.0
    latency_ms: dict[str, float] = field(default_factory=dict)
    service_ms: dict[str, float] = field(default_factory=dict)
    spectrum: list[list[float]] = field(default_factory=list)
    interval_s: float = 1.0
    series: list[dict[str, float]] = field(default_factory=list)
    kinds: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    generator: dict[str, float] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=list)
    thresholds: list[dict[str, Any]] = field(default_factory=list)
    aborted: str | None = None
    partial: bool = True
    unknown_reasons: list[str] = field(default_factory=list)
    void_reasons: list[str] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    money: dict[str, Any] = field(default_factory=lambda: {"verdict": "skipped"})

    @property
    def verdict(self) -> Verdict:
        """Give the one word: what is wrong with the money first, then what cannot be known."""
        told = {self.money.get("verdict"), *(finding["verdict"] for finding in self.findings)}
        if "invalid" in told:
            return "invalid"
        if self.void_reasons:
            return "void"
        if self.unknown_reasons or self.partial or "unknown" in told:
            return "unknown"
        return "valid"

    @property
    def missed(self) -> list[str]:
        """The thresholds that were missed; a void run misses none, since its figures mean none."""
        if self.void_reasons:
            return []
        return [told["expression"] for told in self.thresholds if told["passed"] is False]

    @property
    def exit_status(self) -> int:
        """Give the exit status: 1 before 99, 99 before 2."""
        if self.verdict == "invalid":
            return INVALID
        if self.missed:
            return MISSED
        return 0 if self.verdict == "valid" else UNKNOWN

    def to_data(self) -> dict[str, Any]:
        """Give it as plain data, with its verdict and exit status."""
        return {**asdict(self), "verdict": self.verdict, "exit_status": self.exit_status}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Result:
        """Take it from plain data; what follows from the facts is worked out anew."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})

    def write(self, path: Path) -> None:
        """Write it whole or not at all: a reader never sees half of it."""
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_text(json.dumps(self.to_data()) + "\n", encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what `write` wrote."""
        return cls.from_data(json.loads(path.read_text(encoding="utf-8")))
