"""The verdict bites: one line of the reference broken, and the run says who is out how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.cli.broken import broken_reference
from tests.cli.command import report_of, secrets_in
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from tests.cli.command import Command

pytestmark = linux_only


class Fault(NamedTuple):
    """One line of the reference, what is made of it, and what a run must say then."""

    suite: str
    file: str
    right: str
    wrong: str
    operation: str
    amount_minor: int | None
    said: str


ASKED = 'create(params, {"idempotency_key": order.key})'
FAULTS = {
    "doubled-grant": Fault(
        "e2e",
        "operations/accounts.py",
        "    units = core.catalogue.sign_up_credits\n",
        "    units = 2 * core.catalogue.sign_up_credits\n",
        "create_customer",
        -5 * 2900,
        "create_customer granted 10 units as trial_signup, the catalogue says 5 (-145.00 USD)",
    ),
    "unsigned-webhook": Fault(
        "security",
        "http/webhooks.py",
        '    verify(core.settings, body, request.headers.get("stripe-signature"))\n',
        "",
        "receive_webhook",
        None,
        "receive_webhook accepted a webhook that is not rightly signed",
    ),
    "wrong-amount": Fault(
        "e2e",
        "books.py",
        "        amount_minor=charge.amount_minor,\n",
        "        amount_minor=charge.amount_minor + 100,\n",
        "record_usage",
        -100,
        "moved 29.00 USD, the target's payments say 30.00 USD (-1.00 USD)",
    ),
    "charged-twice": Fault(
        "e2e",
        "stripe_gateway/charges.py",
        f"{ASKED})\n        return read(facts.intent, made)",
        f"({ASKED.replace('order.key', 'order.attempt_id')}, {ASKED})[1])\n"
        "        return read(facts.intent, made)",
        "record_usage",
        2900,
        "charged again for usage",
    ),
}


@pytest.mark.nightly  # the gauntlet makes eighty such mistakes, and CI one of them in every run
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_one_broken_line_makes_the_verdict_invalid(command: Command, fault: Fault) -> None:
    """Status 1, and finding, terminal and page name the operation and the amount."""
    folder = command.folder / "report"
    env = broken_reference(command.folder, fault.file, fault.right, fault.wrong)
    finished = command.run("run", "--suite", fault.suite, "--report", folder, env=env)
    assert finished.status == 1, finished
    assert finished.out.startswith("INVALID  reference: ")
    assert fault.said in finished.out + finished.err
    facts = report_of(folder)
    assert facts["verdict"] == "invalid"
    found = [
        finding
        for finding in facts["findings"]
        if (finding["operation"], finding["amount_minor"]) == (fault.operation, fault.amount_minor)
    ]
    assert found, facts["findings"]
    for finding in found:
        assert finding["test"].startswith(f"suites/{fault.suite}/")
        assert finding["requirements"]
        if fault.amount_minor is not None:
            assert finding["currency"] == "usd"
            assert finding["customer"].startswith("cust_")
    page = (folder / "report.html").read_text("utf-8")
    assert fault.operation in page
    assert found[0]["message"].split(": ")[-1][:20] in page
    assert secrets_in(folder) == []
