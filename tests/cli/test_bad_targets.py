"""The reference behind a proxy that resets, limits, bans or goes away: never a false verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.stack import Stack, StackOptions
from tests.cli.command import CHECKOUT, REFERENCE, report_of
from tests.proxy import Manners, misbehaving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.command import Command
    from tests.proxy import Proxy

E2E = CHECKOUT / "suites" / "e2e"
RESETS = Manners(reset_before=0.025, reset_after=0.025)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Give a stack that runs already."""
    with Stack(StackOptions(seed=1)) as running:
        yield running


def run(
    command: Command, stack: Stack, proxy: Proxy, folder: Path, *options: str, patience: str = ""
) -> dict[str, Any]:
    """Run suites through a proxy; give the report's facts, with the exit status."""
    text = REFERENCE.read_text("utf-8").replace('stack = "reference"\n', patience)
    profile = folder / "behind.toml"
    profile.write_text(text.replace('"${STACK_BILLING_URL}"', f'"{proxy.url}"', 1), "utf-8")
    report = folder / "report"
    env = {**stack.environment(), "BILLING_HARNESS_TESTS": ""}
    how: tuple[str | Path, ...] = ("--target", profile, "--report", report, "--seed", "7", *options)
    finished = command.run("run", *how, env=env)
    assert finished.status in {0, 1, 2}, finished
    return {**report_of(report), "status": finished.status, "said": finished.err + finished.out}


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lost_connections_are_never_a_breach(
    command: Command, stack: Stack, tmp_path: Path, seed: int
) -> None:
    """Of 5 % of connections reset, before or after the effect, comes a pass or a doubt."""
    with misbehaving(stack.addresses.billing_url, RESETS, seed) as proxy:
        facts = run(command, stack, proxy, tmp_path, "--suite", "e2e", "--test", "test_trial")
    assert proxy.told["reset_before"] + proxy.told["reset_after"] > 0, proxy.told
    assert facts["findings"] == []
    assert facts["status"] in {0, 2}


@pytest.mark.nightly
@pytest.mark.parametrize("stories", sorted(file.stem for file in E2E.glob("test_*.py")))
def test_every_story_bears_lost_connections(
    command: Command, stack: Stack, tmp_path: Path, stories: str
) -> None:
    """No story turns a lost connection into a breach."""
    with misbehaving(stack.addresses.billing_url, RESETS, len(stories)) as proxy:
        facts = run(command, stack, proxy, tmp_path, "--suite", "e2e", "--test", stories)
    assert facts["findings"] == []
    assert facts["status"] in {0, 2}


@pytest.mark.nightly
def test_a_target_that_limits_is_waited_for(command: Command, stack: Stack, tmp_path: Path) -> None:
    """Where 429 says to come back in a second, the harness does, and the stories are told."""
    with misbehaving(stack.addresses.billing_url, Manners(limited=0.05), 3) as proxy:
        facts = run(command, stack, proxy, tmp_path, "--suite", "e2e", "--test", "test_trial")
    assert proxy.told["limited"] > 0
    assert facts["status"] == 0, facts["said"]


@pytest.mark.nightly
def test_a_target_that_goes_away_is_told_with_what_it_last_accepted(
    command: Command, stack: Stack, tmp_path: Path
) -> None:
    """From then on tests are unknown, soon and with the last request that was accepted."""
    with misbehaving(stack.addresses.billing_url, Manners(lasts=40), 3) as proxy:
        facts = run(command, stack, proxy, tmp_path, "--suite", "e2e")
    assert (facts["status"], facts["findings"]) == (2, [])
    assert "stopped answering; it last accepted" in str(facts["tests"])


@pytest.mark.nightly
def test_a_target_that_is_slow_is_waited_for(
    command: Command, stack: Stack, tmp_path: Path
) -> None:
    """Answers that take seconds, and come within what the profile allows, end in a pass."""
    name = "test_first_usage_consumes_a_unit_and_charges_nothing"
    with misbehaving(stack.addresses.billing_url, Manners(delay_s=2.0)) as proxy:
        facts = run(command, stack, proxy, tmp_path, "--suite", "e2e", "--test", name)
    assert (facts["status"], facts["findings"]) == (0, []), facts["said"]


@pytest.mark.nightly
@pytest.mark.parametrize("stories", ["test_idempotency", "test_refunds", "test_subscription"])
def test_a_target_that_is_too_slow_is_unknown(
    command: Command, stack: Stack, tmp_path: Path, stories: str
) -> None:
    """Effects whose answers come later than the profile waits are unknown, and never a breach."""
    slow = Manners(slow_share=0.1, delay_s=3.0)
    options = ("--suite", "e2e", "--test", stories)
    patience = "timeout_s = 1.0\n"
    with misbehaving(stack.addresses.billing_url, slow, 5) as proxy:
        facts = run(command, stack, proxy, tmp_path, *options, patience=patience)
    assert proxy.told["slow"] > 0
    assert facts["findings"] == [], facts["said"]
    assert facts["status"] in {0, 2}


@pytest.mark.nightly
def test_a_target_that_goes_away_and_comes_back_breaks_nothing(
    command: Command, stack: Stack, tmp_path: Path
) -> None:
    """What fell into the gap is unknown; what ran before and after it is judged as ever."""
    gap = Manners(lasts=60, away=12)
    with misbehaving(stack.addresses.billing_url, gap, 3) as proxy:
        facts = run(command, stack, proxy, tmp_path, "--suite", "e2e", "--test", "test_refunds")
    assert proxy.told["reset_before"] == gap.away
    assert (facts["status"], facts["findings"]) == (2, []), facts["said"]
    results = [test["result"] for test in facts["tests"]]
    assert {"unknown", "passed"} <= set(results), results


def test_a_ban_is_no_pass(command: Command, stack: Stack, tmp_path: Path) -> None:
    """Where a guard shuts an address out, what it then refuses is unknown, and never passed."""
    name = "test_nothing_of_another_tenant_is_shown"
    with misbehaving(stack.addresses.billing_url, Manners(bans_after=3)) as proxy:
        facts = run(command, stack, proxy, tmp_path, "--suite", "security", "--test", name)
    assert proxy.told["banned"] > 0
    (test,) = facts["tests"]
    assert (test["result"], facts["findings"]) == ("unknown", []), test
    assert "has shut this address out" in test["reason"]
    assert "it last accepted" in test["reason"]
