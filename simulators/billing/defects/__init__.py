"""Defects: mistakes of real billing services, each to be switched on by name, never in production.

They calibrate test suites: a suite that passes a service with one of these is blind to it. Each is
as small as the real mistake was, and lies apart from the service, as replacements of a few of its
functions (`overlay.Overlay`); a service without defects never imports this package.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from simulators.billing.defects import (
    authorisation,
    concurrency,
    contract,
    exposure,
    idempotency,
    inputs,
    leaks,
    limits,
    money,
    observability,
    periods,
    signatures,
    webhooks,
)
from simulators.billing.defects.catalogue import DEFECTS, INVARIANTS, Defect
from simulators.billing.defects.overlay import Overlay
from simulators.billing.environment import refuse_in_production

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulators.billing.settings import Settings
    from simulators.billing.storage.database import Database

__all__ = ["DEFECTS", "INVARIANTS", "Defect", "UnknownDefectError", "named", "switched_on"]

GROUPS = (
    exposure,
    money,
    idempotency,
    webhooks,
    signatures,
    concurrency,
    authorisation,
    leaks,
    limits,
    periods,
    observability,
    contract,
    inputs,
)


class UnknownDefectError(Exception):
    """There is no defect of that name."""


def named(names: Sequence[str]) -> list[Defect]:
    """Give defects by their names. Raises `UnknownDefectError` where there is none."""
    for name in names:
        if name not in DEFECTS:
            raise UnknownDefectError(
                f"unknown_defect: there is no defect {name!r};"
                " `python -m simulators.billing defects` lists them"
            )
    return [DEFECTS[name] for name in names]


@contextlib.contextmanager
def switched_on(names: Sequence[str], settings: Settings, database: Database) -> Iterator[Overlay]:
    """Have the service make these mistakes inside, and none of them afterwards.

    Raises `ProductionRefusedError` where a sign says production, `UnknownDefectError` for a name.
    """
    chosen = named(names)
    refuse_in_production(f"the defect {', '.join(names)}", settings, database.marker())
    with Overlay(database) as overlay:
        for each in chosen:
            each.switch_on(overlay)
        yield overlay
