"""What customers are told of credits is what happens: each table of the guide is played."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulators.billing.domain.plans import Catalogue
from simulators.billing.settings import Settings
from tests.billing.conftest import new_tenant
from tests.billing.running import running_service, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Tenant
    from tests.billing.running import Service

GUIDE = Path(__file__).parents[2] / "docs" / "HOW_CREDITS_WORK.md"
HEAD = "| what happens | charged | credits left |"
NOTHING = "\N{EN DASH}"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service whose months may end without ending anybody else's."""
    folder = tmp_path_factory.mktemp("guide")
    with running_simulator(folder) as simulator, running_service(folder, simulator) as found:
        yield found


def stories() -> Iterator[tuple[str, list[list[str]]]]:
    """Give each section's table: what happens, what is charged, and the credits left."""
    for section in GUIDE.read_text(encoding="utf-8").split("\n## ")[1:]:
        if HEAD in section:
            lines = section.partition(HEAD)[2].strip().splitlines()[1:]
            rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
            yield (
                section.splitlines()[0],
                [[cell.strip() for cell in row.strip("|").split("|")] for row in rows],
            )


class Story:
    """Plays a table's rows with one customer."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._refusals: list[str] = []

    def play(self, what: str) -> tuple[str, str]:
        """Let something happen; give what was charged and the credits left, as the guide does."""
        before = self._paid_minor()
        self._refusals = []
        if fixes := re.fullmatch(r"(\d+) fix(?:es)?", what):
            for _ in range(int(fixes[1])):
                self._fix()
        else:
            getattr(self, "_" + what.replace(" ", "_"))()
        self._tenant.service.drain()
        charged = _dollars(self._paid_minor() - before) if not self._refusals else "refused"
        return charged, str(self._tenant.get()["credit_balance"])

    def _fix(self) -> None:
        reply = self._tenant.fix(f"guide-{next(_numbers)}")
        if reply.status_code == 402:
            self._refusals.append(reply.json()["code"])

    def _paid_minor(self) -> int:
        return sum(row["amount_minor"] for row in self._tenant.page("payments"))

    def _you_sign_up(self) -> None:
        """Do nothing: the customer is there already."""

    def _you_add_your_first_card(self) -> None:
        assert self._tenant.add_card().status_code == 201

    def _you_subscribe_to_pro(self) -> None:
        assert self._tenant.subscribe().status_code == 201

    def _the_month_ends(self) -> None:
        end = self._tenant.get("/subscription")["current_period_end"]
        # Stripe finalizes a renewal's invoice an hour after the period's end.
        self._tenant.service.advance(end + 2 * 3600)

    def _you_cancel_at_once(self) -> None:
        path = f"{self._tenant.path}/subscription?at_period_end=false"
        assert self._tenant.http.delete(path).status_code == 200

    def _we_refund_that_fix(self) -> None:
        payment = self._tenant.page("payments")[0]["id"]
        with self._tenant.service.operator as operator:
            reply = operator.post(f"/api/v1/operator/payments/{payment}/refund")
        assert reply.status_code == 201


def _dollars(amount_minor: int) -> str:
    """Write an amount as the guide does.

    >>> _dollars(-2900)
    '-$29.00'
    """
    if amount_minor == 0:
        return NOTHING
    return f"{'-' if amount_minor < 0 else ''}${abs(amount_minor) / 100:.2f}"


@pytest.mark.nightly
@pytest.mark.parametrize("rows", [pytest.param(rows, id=title) for title, rows in stories()])
def test_every_row_of_the_guide_happens(reader: Service, rows: list[list[str]]) -> None:
    """What is charged and how many credits are left is as the guide's table says, row by row."""
    with new_tenant(reader) as tenant:
        story = Story(tenant)
        assert [[what, *story.play(what)] for what, _, _ in rows] == rows


def test_the_guide_tells_stories_of_every_plan() -> None:
    """No table is skipped: there is one for each plan, for leaving, and for refunds."""
    titles = [title for title, _ in stories()]
    assert titles == ["Trying it out", "Pay as you go", "Pro", "Leaving pro", "Refunds"]


def test_the_prices_in_the_guide_are_those_of_the_catalogue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every dollar and every number of credits in the guide's words is one that is configured."""
    monkeypatch.setenv("BILLING_STRIPE_API_KEY", "sk_test_1")
    monkeypatch.setenv("BILLING_KEY_HMAC_SECRET", "hmac-secret-of-the-tests")
    sold = Catalogue.of(Settings())
    text = " ".join(GUIDE.read_text(encoding="utf-8").split())
    pro, payg = _dollars(sold.pro_fix_price_minor), _dollars(sold.payg_fix_price_minor)
    price, month = _dollars(sold.pro_price_minor), sold.pro_included_credits
    for said in (
        f"{sold.sign_up_credits} when you sign up, {sold.first_card_credits} more with your first",
        f"refused without a card; {payg} with one",
        f"| pay as you go | nothing | those that you have | {payg} |",
        f"| pro | {price} a month | {month} for each month paid | {pro} |",
        f"You pay {price} when you subscribe, and then each month. Each payment brings {month}",
        f"up to {sold.pro_rollover_cap} of the credits that are left are kept",
        f"cost {payg} from then on; if you cancel at the end of the month, they cost {pro}",
        f"**At {sold.low_credit_threshold} credits or fewer**",
    ):
        assert said in text
