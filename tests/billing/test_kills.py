"""Processes are killed at random moments of a mixed load: no money, credit or event is lost."""

from __future__ import annotations

import random
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from tests.billing.audit import assert_all_agrees
from tests.billing.crashing import Load, crashing_service, settle
from tests.billing.databases import on_both_databases
from tests.billing.running import running_simulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.billing.crashing import Herd
    from tests.billing.databases import Databases

pytestmark = on_both_databases

SEED = 4


def strike(herd: Herd, kills: int, choices: random.Random) -> None:
    """Kill so many processes, each after a moment, one in four times all at once."""
    while kills > 0:
        time.sleep(choices.uniform(0.005, 0.12))
        victims = herd.alive if choices.random() < 0.25 else [choices.choice(herd.alive)]
        for pid in list(victims)[:kills]:
            herd.kill(pid)
            kills -= 1
        while len(herd.alive) < 2:
            herd.spawn()


@pytest.mark.nightly
@pytest.mark.parametrize(
    "kills", [pytest.param(12, id="few"), pytest.param(100, marks=pytest.mark.nightly, id="many")]
)
def test_nothing_is_lost_by_killing(tmp_path: Path, databases: Databases, kills: int) -> None:
    """Journal, payments, ledger, cards and events agree after kills at random moments."""
    seed = SEED if kills < 100 else secrets.randbelow(2**32)
    print(f"seed {seed}")  # noqa: T201  # pytest shows it for a run that fails
    with (
        running_simulator(tmp_path) as simulator,
        crashing_service(tmp_path, simulator, databases.fresh(tmp_path)) as (service, herd),
    ):
        herd.spawn()
        herd.spawn()
        load = Load(service, seed)
        with load.running(clients=6):
            choices = random.Random(seed)  # noqa: S311  # repeatable by its seed
            strike(herd, kills, choices)
        settle(service)
        assert_all_agrees(service, load)
