"""Has Schemathesis try a target on its OpenAPI document, and tells what it found in sentences.

Schemathesis is used as a library: one run of its engine, in this process, over the harness's own
transport. Nothing of it reads or leaves a file.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import hypothesis.configuration
import requests
import schemathesis
from schemathesis.engine import from_schema

from harness.errors import SettingsError, Unknown
from harness.settings import PREFIX
from harness.transport import spare_address
from suites.contract.document import aligned, prefix_of
from suites.contract.filling import Filling
from suites.contract.guests import Guests
from suites.contract.telling import Teller
from suites.contract.wire import Credentials, Wire

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from schemathesis import BaseSchema

    from harness.checks.verdict import Finding
    from harness.ground import Ground
    from harness.session import Session
    from harness.target.profile import Contract

Phase = Literal["examples", "coverage", "fuzzing", "stateful"]
EXAMPLES_VARIABLE = f"{PREFIX}CONTRACT_EXAMPLES"
_LIMITED = 429
_LIMITED_SHARE_MAX = 0.01
_TIME_S = 60.0
_TIME_PER_EXAMPLE_S = 10.0
_STEPS_MAX = 6
# Of the methods that a path does not have, one that somebody may have left open, and one that
# repeats what it is sent; the security suite tries them all.
_UNDOCUMENTED_METHODS = ["delete", "trace"]
_PHASES: dict[Phase, dict[str, Any]] = {
    "examples": {},
    "coverage": {"unexpected-methods": _UNDOCUMENTED_METHODS},
    "fuzzing": {},
    "stateful": {"max-steps": _STEPS_MAX},
}


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: breaches, why the rest is not known, and how many requests were answered."""

    breaches: list[Finding]
    doubts: list[str]
    answers: int


def examples_asked(contract: Contract) -> int:
    """Give how many random requests each operation gets: by the environment, or by the profile.

    Raises `SettingsError` where the environment's word is no number.
    """
    given = os.environ.get(EXAMPLES_VARIABLE)
    if given is None:
        return contract.examples
    if not given.isdecimal() or not 1 <= int(given) <= 10_000:
        raise SettingsError(f"{EXAMPLES_VARIABLE} is {given!r}, not a number from 1 to 10000")
    return int(given)


def tried(
    document: dict[str, Any],
    phases: Sequence[Phase],
    ground: Ground,
    session: Session,
    part: tuple[int, int] = (0, 1),
) -> Found:
    """Run phases of Schemathesis against the target, for a bounded time; give what was found.

    `part` is which of so many shares of the operations is tried: several tests share the work.
    """
    profile = ground.target.profile
    assert profile.contract is not None, "whoever asks has looked"
    documented = {each.label: each for each in aligned(document, profile)}
    labels = sorted(documented)[part[0] :: part[1]]
    if not labels:
        return Found([], [], 0)
    examples = examples_asked(profile.contract)
    ends_at = time.monotonic() + _TIME_S + _TIME_PER_EXAMPLE_S * examples
    guests = Guests(session)
    wire = Wire(ground, guests, tuple(documented.values()))
    teller = Teller(wire, ground.redactor, profile.contract.malformed)
    with contextlib.closing(wire), _by_itself(wire):
        base_url = profile.target.base_url + prefix_of(document, profile.target.base_url)
        config = _config(ground, session, phases, examples) | {"base-url": base_url}
        schema = _loaded(document, config, labels)
        schema.auth.set_from_requests(Credentials(ground, guests, wire))
        with Filling(guests, documented).hooked():
            _follow(schema, teller, ends_at)
    # Where a chain of requests leads is drawn: only the phases that go through all reach all.
    through_all = "stateful" not in phases
    doubts = [*teller.doubts, *(_unreached(wire, labels) if through_all else ())]
    answers = sum(statuses.total() for statuses in wire.statuses.values())
    return Found(teller.breaches, [*doubts, *_limited(wire), *_silent(wire)], answers)


def _config(
    ground: Ground, session: Session, phases: Sequence[Phase], examples: int
) -> dict[str, Any]:
    profile = ground.target.profile
    assert profile.contract is not None, "whoever asks has looked"
    expected = ["2xx", "401", *map(str, profile.contract.expected)]
    return {
        "seed": session.names.random.getrandbits(32),
        "headers": dict(profile.target.headers),
        "workers": 1,
        "continue-on-failure": True,
        "request-timeout": profile.target.timeout_s,
        "suppress-health-check": ["all"],
        "warnings": False,
        "cache": {"enabled": False},
        "phases": {phase: {"enabled": phase in phases, **how} for phase, how in _PHASES.items()},
        "generation": {
            "max-examples": examples,
            "database": "none",
            "no-shrink": True,
            "with-security-parameters": False,
        },
        "checks": {
            "positive_data_acceptance": {"expected-statuses": expected},
            # Once an operation has turned wrong keys away, it has: one phase is enough.
            "ignored_auth": {"enabled": "coverage" in phases and _may_present_wrong_keys(ground)},
        },
    }


def _may_present_wrong_keys(ground: Ground) -> bool:
    """Whether wrong keys lock nobody else out: none are counted, or they come from elsewhere."""
    profile = ground.target.profile
    is_counted = "failed_authentications_per_hour" in profile.limits
    return not is_counted or spare_address(profile.target.base_url, "wrong keys") is not None


def _loaded(document: dict[str, Any], config: dict[str, Any], labels: Container[str]) -> BaseSchema:
    try:
        schema = schemathesis.openapi.from_dict(
            document, config=schemathesis.Config.from_dict(config)
        )
        return schema.include(lambda context: context.operation.label in labels)
    except schemathesis.errors.SchemathesisError as error:
        raise Unknown(f"the document cannot be tried: {error}") from error


@contextlib.contextmanager
def _by_itself(wire: Wire) -> Iterator[None]:
    """Send everything over the wire, leave nothing in the folder, and let nobody's warning fail."""
    with (
        patch.object(requests.Session, "get_adapter", lambda *_, **__: wire),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        hypothesis.configuration.set_hypothesis_home_dir(_cache())
        try:
            yield
        finally:
            hypothesis.configuration.set_hypothesis_home_dir(None)


def _cache() -> Path:
    """Give the folder for Hypothesis' tables of characters, which take seconds to work out."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "billing-harness" / "hypothesis"


def _follow(schema: BaseSchema, teller: Teller, ends_at: float) -> None:
    """Hear the engine out; once the time is over, ask it to come to an end."""
    stream = from_schema(schema).execute()
    is_over = False
    for event in stream:
        teller.hear(event)
        if time.monotonic() > ends_at and not is_over:
            is_over = True
            stream.stop()
            teller.doubts.append("the time was over before everything was tried")


def _unreached(wire: Wire, labels: Iterable[str]) -> Iterator[str]:
    for label in labels:
        statuses = wire.statuses[label]
        if not any(200 <= status < 300 for status in statuses):
            seen = ", ".join(map(str, sorted(statuses))) or "nothing"
            yield f"{label} never succeeded (it answered {seen}), so what it promises is not known"


def _limited(wire: Wire) -> Iterator[str]:
    for label, statuses in wire.statuses.items():
        if statuses[_LIMITED] > _LIMITED_SHARE_MAX * statuses.total():
            yield f"{label} answered {statuses[_LIMITED]} of {statuses.total()} requests with 429"


def _silent(wire: Wire) -> Iterator[str]:
    if wire.silences:
        yield f"{len(wire.silences)} requests had no answer, the first: {wire.silences[0]}"
