"""A list is read page by page, and shows each thing once, also while something is added."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.target.wire import Reply
from suites.e2e.steps import add_card, sign_up, use

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.session import Customer, Session
    from harness.target.profile import Items, Page
    from harness.target.wire import Call

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("promises")]
PAGE_SIZE = 2
ENTRIES = 4
# What is counted from the start moves on when something is added before it; a place stays.
STAYING = frozenset({"cursor", "link"})


def _paged(billing: Session) -> tuple[Items, Page]:
    items = billing.target.profile.operations["list_ledger"].items
    if items is None or items.page is None or items.page.size_param is None:
        pytest.skip("the target's ledger has no pages whose size can be asked for")
    ends_by_itself = items.page.style in STAYING or items.page.total or items.page.more
    if not ends_by_itself:
        pytest.skip("without `total` or `more` small pages cannot be followed to their end")
    return items, items.page


def _with_entries(billing: Session) -> Customer:
    """Make a customer whose ledger has several pages."""
    customer = sign_up(billing)
    add_card(billing, customer)
    use(billing, customer, ENTRIES)
    return customer


def _sized(page: Page, then: Callable[[], object] | None = None) -> Callable[[Call], Call]:
    """Ask for small pages; do something once, after the first of them."""
    pages = Counter[str]()

    def alter(call: Call) -> Call:
        pages["asked"] += 1
        if then is not None and pages["asked"] == 2:
            then()
        kept = tuple(pair for pair in call.query if pair[0] != page.size_param)
        return replace(call, query=(*kept, (str(page.size_param), str(PAGE_SIZE))))

    return alter


def _entries(billing: Session, customer: Customer, **arguments: Any) -> list[str]:
    """Read the ledger; give each entry as the text by which it is known again."""
    read = billing.ok("list_ledger", customer=customer, **arguments)["items"]
    return [repr(sorted(entry.items())) for entry in read]


@pytest.mark.smoke
@pytest.mark.requires("record_usage", "add_payment_method", "list_ledger")
@pytest.mark.requirement("BH-2", "BH-10")
def test_a_page_holds_no_more_than_was_asked_for(billing: Session) -> None:
    """Small pages are small, and all of them together are what one large page shows."""
    items, page = _paged(billing)
    customer = _with_entries(billing)
    whole = _entries(billing, customer)
    in_pages = _entries(billing, customer, alter=_sized(page))
    sizes = [
        len(exchange.reply.json()[items.path])
        for exchange in billing.records[-1].exchanges
        if isinstance(exchange.reply, Reply) and items.path.isidentifier()
    ]
    assert not sizes or max(sizes) <= PAGE_SIZE, (
        f"pages of {PAGE_SIZE} were asked for, and had {sizes}"
    )
    assert in_pages == whole, (
        f"a ledger of {len(whole)} entries has {len(in_pages)} in pages of {PAGE_SIZE},"
        " or others, or another order"
    )


@pytest.mark.requires("record_usage", "add_payment_method", "list_ledger")
@pytest.mark.requirement("BH-2", "BH-10")
def test_nothing_is_lost_or_shown_twice_while_something_is_added(billing: Session) -> None:
    """Who reads page by page while an entry is made sees every older entry, and none twice."""
    _, page = _paged(billing)
    customer = _with_entries(billing)
    whole = _entries(billing, customer)
    alter = _sized(page, lambda: use(billing, customer))
    seen = Counter(_entries(billing, customer, alter=alter))
    lost = [entry for entry in whole if entry not in seen]
    assert not lost, f"{len(lost)} of {len(whole)} entries were lost while one was added: {lost[0]}"
    twice = [entry for entry, times in seen.items() if times > 1]
    if page.style in STAYING:
        assert not twice, f"{len(twice)} entries were shown twice while one was added: {twice[0]}"
