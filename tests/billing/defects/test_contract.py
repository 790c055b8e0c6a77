"""Defects of what clients were promised, each beside the service without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly


def test_attempts_dated_in_words(both: Both) -> None:
    """An attempt's date is a number of seconds, or words."""

    def story(shop: Shop) -> str:
        tenant = shop.tenant()
        tenant.fix("fix-1")
        page = tenant.http.get(f"{tenant.path}/fix-attempts").json()["data"]
        return type(page[0]["created_at"]).__name__

    assert both("attempts-dated-in-words", story) == ("int", "str")


def test_card_gone_undocumented(both: Both) -> None:
    """Removing a card that is not there is answered by a documented status, or by another."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        return tenant.http.delete(f"{tenant.path}/payment-methods/pm_nobodys").status_code

    assert both("card-gone-undocumented", story) == (404, 410)


def test_card_found_once_it_was_listed(both: Both) -> None:
    """A card can be removed as soon as it was added, or once it was listed."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        made = tenant.add_card("pm_card_visa").json()["payment_method_id"]
        return tenant.http.delete(f"{tenant.path}/payment-methods/{made}").status_code

    assert both("card-found-once-it-was-listed", story) == (200, 404)


def test_retry_answered_with_another_status(both: Both) -> None:
    """A retry has the first answer's status, or another."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.tenant()
        return [tenant.post("/api/v1/api-keys", key="again").status_code for _ in range(2)]

    assert both("retry-answered-with-another-status", story) == ([201, 201], [201, 200])


def test_unknown_path_answers_a_page(both: Both) -> None:
    """A path that there is not is answered by a problem document, or by a page."""

    def story(shop: Shop) -> str:
        reply = shop.client().get("/api/v1/nowhere")
        assert reply.status_code == 404
        return reply.headers["Content-Type"].partition(";")[0]

    found = both("unknown-path-answers-a-page", story)
    assert found == ("application/problem+json", "text/html")


def test_plan_set_before_the_card_is_looked_for(both: Both) -> None:
    """A plan that is refused for want of a card is not set, or is."""

    def story(shop: Shop) -> str:
        tenant = shop.tenant()
        assert tenant.http.put(f"{tenant.path}/plan", json={"plan": "payg"}).status_code == 402
        plan: str = tenant.http.get(tenant.path).json()["plan"]
        return plan

    assert both("plan-set-before-the-card-is-looked-for", story) == ("trial", "payg")


def test_cursor_counts_from_the_start(both: Both) -> None:
    """An entry that is added between two pages shows nothing twice, or the last one again."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        for _ in range(2):
            shop.adjust(tenant, 1)
        listing = f"{tenant.path}/transactions"
        first = tenant.http.get(listing, params={"limit": 2}).json()
        shop.adjust(tenant, 1)
        second = tenant.http.get(listing, params={"limit": 2, "cursor": first["next_cursor"]})
        shown = [entry["id"] for entry in first["data"] + second.json()["data"]]
        return len(shown) - len(set(shown))

    assert both("cursor-counts-from-the-start", story) == (0, 1)
