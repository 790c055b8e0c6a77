"""Targets unlike the reference: valid by what they map, and invalid with a mistake made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command import CHECKOUT, report_of
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from typing import Any

    from tests.cli.command import Command, Finished

pytestmark = linux_only
TARGETS = CHECKOUT / "tests" / "targets"
LOOM, BROOK = str(TARGETS / "loom.toml"), str(TARGETS / "brook.toml")
SLUICE = "tests.targets.sluice:SluiceTarget"
REFUND = "test_a_refund_takes_back_what_it_had_bought"


def _run(command: Command, target: str, *options: str, **env: str) -> tuple[Finished, Any]:
    """Run suites on a target; give how it ended, and the report's facts."""
    report = command.folder / "report"
    finished = command.run(
        *("run", "--target", target, "--report", str(report), *options),
        env={"BILLING_HARNESS_TESTS": "", **env},
        cwd=CHECKOUT,
    )
    return finished, report_of(report)


def _passed(facts: dict[str, Any]) -> int:
    return sum(int(counts["passed"]) for counts in facts["suites"].values())


@pytest.mark.nightly
def test_use_that_is_billed_with_the_invoice_is_judged(command: Command) -> None:
    """Loom, which has no credits, is valid in all the stories of use that invoices bill."""
    finished, facts = _run(command, LOOM, "--suite", "e2e", "--test", "test_metered")
    assert (finished.status, facts["verdict"]) == (0, "valid"), finished
    assert facts["suites"]["e2e"]["skipped"] == 0
    assert _passed(facts) >= 6


def test_a_forgotten_refund_is_told_with_who_is_out_how_much(command: Command) -> None:
    """Brook gives money back and does not book it: whose, how much and by what call is said."""
    options = ("--suite", "e2e", "--test", REFUND)
    finished, facts = _run(command, BROOK, *options, BROOK_MISTAKE="forget-refund")
    assert (finished.status, facts["verdict"]) == (1, "invalid"), finished
    (told,) = [f for f in facts["findings"] if f["operation"] == "refund_payment"]
    assert told["customer"] is not None
    assert (told["amount_minor"], told["currency"]) == (-17950, "usd")
    for word in (told["customer"], "179.50 USD", "refund_payment", told["call"]):
        assert word in finished.out, finished.out


@pytest.mark.nightly
def test_use_that_is_billed_twice_is_told(command: Command) -> None:
    """Loom puts twice the cloth on the invoice: the usage behind it is named, and the sum."""
    options = ("--suite", "e2e", "--test", "test_a_period_is_paid_with_what_was_used_in_it")
    finished, facts = _run(command, LOOM, *options, LOOM_MISTAKE="bill-twice")
    assert (finished.status, facts["verdict"]) == (1, "invalid"), finished
    told = [finding for finding in facts["findings"] if finding["operation"] == "record_usage"]
    assert [finding["amount_minor"] for finding in told] == [3 * 37]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("target", "least"), [(LOOM, 100), (BROOK, 180), (SLUICE, 100)], ids=["loom", "brook", "sluice"]
)
def test_a_target_unlike_the_reference_is_valid(command: Command, target: str, least: int) -> None:
    """All suites find nothing wrong, and try as much as the target can do."""
    finished, facts = _run(command, target, "-n", "2")
    assert (finished.status, facts["verdict"]) == (0, "valid"), finished
    assert _passed(facts) >= least, "the profile maps less than it did"
