"""What a load process is told: one frozen document, JSON both ways, without a secret in it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import SettingsError
from suites.load.schedule import Stage, count, duration_s

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = Literal["open", "closed"]
PLAN_FILE = "plan.json"
PLAN_VARIABLE = "BILLING_LOAD_PLAN"  # where the load process finds it
SECRETS_VARIABLE = "BILLING_LOAD_SECRETS_FD"
FOLDER_VARIABLE = "BILLING_LOAD_FOLDER"  # of a worker whose master runs elsewhere
INTERVALS_MAX = 600


@dataclass(frozen=True, slots=True)
class Plan:
    """One load.

    `scenario` is a name of the registry or `package.module:Class`. In the open model `stages` are
    arrivals a second over all workers, sent over at most `connections` (over all workers); in the
    closed one they are users, who wait `think_s` between arrivals. An arrival that has waited
    longer than `lateness_s_max` for a free connection is dropped, and counted. A generator whose
    own p99 lateness is above `lateness_ms_max`, or whose CPU share of one core is above `cpu_max`,
    makes the run void.

    Once one of the thresholds `abort_on` cannot hold any more, nothing more is begun; the others
    are judged at the end, so that a load which misses them still measures all of its schedule.

    `target` is what the load process finds the target by: `{"spec": …}` as `--target` takes it
    (variables of the environment are filled in there), or `{"url": …}`. `data` is what the
    scenario's `prepare` gave, `options` what the user asked of the scenario; both plain JSON.
    `trace` writes a line for each arrival to `trace-WORKER.jsonl`.
    """

    scenario: str
    stages: tuple[Stage, ...]
    folder: str
    target: Mapping[str, Any]
    seed: int
    run_id: str = "load"
    model: Model = "open"
    poisson: bool = False
    connections: int = 20
    timeout_s: float = 30.0
    lateness_s_max: float = 30.0
    think_s: float = 0.0
    start_delay_s: float = 0.5
    thresholds: tuple[str, ...] = ()
    abort_on: tuple[str, ...] = ()
    lateness_ms_max: float = 50.0
    cpu_max: float = 0.9
    data: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    trace: bool = False

    def __post_init__(self) -> None:
        if not self.stages or not duration_s(self.stages):
            raise SettingsError("the load has no duration", hint="Give --duration in seconds.")
        if self.connections < 1:
            raise SettingsError("a load needs a connection", hint="Give --connections 1 or more.")

    @property
    def poisson_seed(self) -> int | None:
        """What Poisson arrivals are drawn from; None where arrivals are evenly spaced."""
        return self.seed if self.poisson else None

    @property
    def duration_s(self) -> float:
        """From the first intended start to the end of the last stage."""
        return duration_s(self.stages)

    @property
    def rate(self) -> float:
        """The mean of the arrivals asked for per second (of the users, in the closed model)."""
        bursts = sum(stage.burst for stage in self.stages)
        return (sum(stage.area for stage in self.stages) + bursts) / self.duration_s

    @property
    def rate_max(self) -> float:
        """The highest rate (or number of users) of any stage."""
        return max(max(stage.rate, stage.end) for stage in self.stages)

    @property
    def interval_s(self) -> float:
        """How long an interval of the series is: a second, longer where that made too many."""
        return float(max(1, -(-int(self.duration_s) // INTERVALS_MAX)))

    def scheduled(self) -> int | None:
        """Count the arrivals of the schedule; None in the closed model, which has none."""
        if self.model == "closed":
            return None
        return count(self.stages, poisson_seed=self.poisson_seed)

    def to_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Plan:
        """Take it from plain data."""
        stages = tuple(Stage(**stage) for stage in data["stages"])
        told = {name: tuple(data[name]) for name in ("thresholds", "abort_on")}
        return cls(**{**data, **told, "stages": stages})

    def write(self) -> Path:
        """Write it into its folder, for its owner alone to read; give the path."""
        path = Path(self.folder) / PLAN_FILE
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.to_data(), file, indent=1)
        return path

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read what `write` wrote."""
        return cls.from_data(json.loads(path.read_text(encoding="utf-8")))
