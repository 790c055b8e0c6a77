"""Runs loads: has the target stand, as its profile says, and gives each load its ground."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import SettingsError
from harness.ground import Plan as GroundPlan
from harness.naming import new_run_id, new_seed
from harness.running import Running, StartOptions, first_customer, running
from harness.target.load import find_target
from suites.load.ground import LoadGround
from suites.load.measuring.thresholds import parse
from suites.load.parent.launcher import require_locust
from suites.load.parent.loading import Load, Teller
from suites.load.parent.wish import SECRET_VARIABLE, SENDS, Wish, check_address, check_secret
from suites.load.report.writing import place_for
from suites.load.scenarios import find_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def check(wish: Wish) -> None:
    """Find what a scenario cannot do with what is asked, before anything starts.

    Raises `SettingsError`, and `TargetError` where there is no such scenario.
    """
    scenario = find_scenario(wish.scenario)
    kinds = getattr(scenario, "kinds", None)
    if kinds is not None:
        kinds = {*kinds, *wish.events}
    parse(wish.thresholds, kinds=kinds, counters=getattr(scenario, "counters", None))
    wanted = getattr(scenario, "wanted", None)
    if wanted:
        wanted(wish.extra)


def load(wish: Wish, tell: Teller) -> dict[str, Any]:
    """Run one load, the target started where its profile says so; give its document.

    Raises `HarnessError` for whatever keeps it from starting.
    """
    with standing(wish, tell) as made:
        return made(wish)


@contextlib.contextmanager
def standing(wish: Wish, tell: Teller) -> Iterator[Callable[[Wish], dict[str, Any]]]:
    """Have the target stand, and give a function that runs loads on it, one after the other."""
    require_locust()
    check(wish)
    seed = new_seed() if wish.seed is None else wish.seed
    if wish.url is not None:
        check_address(wish, wish.url)
        if SENDS in find_scenario(wish.scenario).needs:
            check_secret(wish, None, hint=f"Set {SECRET_VARIABLE} to the receiver's own.")

        def bare(asked: Wish) -> dict[str, Any]:
            with place_for(asked.place):
                return Load(asked, None, Running(), tell, new_run_id(), seed).run()

        yield bare
        return
    source = find_target(wish.target)
    if wish.spread.master and source.file.profile.target.stack:
        raise SettingsError(
            f"{wish.target} is started here, where workers of other machines cannot reach it",
            hint="Say --processes N for workers on this machine, or name a target that runs.",
        )
    how = StartOptions(
        wish.database, wish.defects, wish.target_command, processes=wish.target_processes
    )
    tell.say(f"starting {wish.target} …")
    with running(source, seed, how) as up:

        def on(asked: Wish) -> dict[str, Any]:
            return load_on(asked, tell, GroundPlan(wish.target, seed, "", "", up.variables), up)

        yield on


def load_on(
    wish: Wish, tell: Teller, like: GroundPlan, up: Running | None = None
) -> dict[str, Any]:
    """Run a load on a target that stands already: the one of a ground's plan."""
    run_id = new_run_id()
    with place_for(wish.place), contextlib.ExitStack() as undo:
        plan = replace(like, run_id=run_id, folder=str(wish.place))
        history = Path(plan.folder) / "history-prepare.jsonl"
        # Closed also where there is no ground to close it: a profile can be wrong.
        file = undo.enter_context(history.open("w", encoding="utf-8"))
        ground = LoadGround(plan, watcher=tell, worker="prepare", file=file)
        undo.callback(ground.close)
        first_customer(ground)
        return Load(wish, ground, up or Running(), tell, run_id, like.seed).run()
