"""Invoices made by hand, looked at before they are made, or left uncollected."""

from typing import Any

import pytest
import stripe

from tests.stripe_sim.conftest import DAY_S, Account
from tests.stripe_sim.stories import invoices, item_of, subscribe


def add_item(account: Account, customer: str, amount: int = 500, **given: Any) -> str:
    """Add an invoice item; return its id."""
    params: Any = {"customer": customer, "currency": "usd", "amount": amount, **given}
    return account.stripe.invoice_items.create(params).id


def draft(account: Account, customer: str, **given: Any) -> str:
    """Draft an invoice of the customer's pending items; return its id."""
    params: Any = {"pending_invoice_items_behavior": "include", **given}
    params["customer"] = customer
    return account.stripe.invoices.create(params).id


def preview(account: Account, **given: Any) -> stripe.Invoice:
    """Preview an invoice."""
    return account.stripe.invoices.create_preview(given)  # type: ignore[arg-type]  # typed by its keys


def test_items_of_a_draft_change_it(account: Account) -> None:
    """Items are added to, changed on and deleted from a draft, and it is added up anew."""
    customer = account.customer()
    invoice = draft(account, customer)
    items = account.stripe.invoice_items
    first = add_item(account, customer, 500, invoice=invoice)
    second = add_item(account, customer, 300, invoice=invoice, metadata={"a": "1"})
    assert account.stripe.invoices.retrieve(invoice).total == 800
    items.update(first, {"amount": 700, "description": "More", "metadata": {"b": "2"}})
    items.delete(second)
    after = account.stripe.invoices.retrieve(invoice)
    [line] = after.lines.data
    assert (line.amount, line.subtotal, line.description) == (700, 700, "More")
    assert after.total == 700
    assert [each.id for each in items.list({"invoice": invoice}).data] == [first]
    account.stripe.invoices.finalize_invoice(invoice)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        items.update(first, {"amount": 1})
    assert caught.value.code == "invoice_not_editable"


def test_an_item_by_price_counts_quantity(account: Account) -> None:
    """Its amount follows price and quantity; what has neither price nor amount is refused."""
    customer = account.customer()
    product = account.stripe.products.create({"name": "P"}).id
    price = account.stripe.prices.create({"product": product, "currency": "usd", "unit_amount": 40})
    items = account.stripe.invoice_items
    item = items.create({"customer": customer, "pricing": {"price": price.id}, "quantity": 3})
    assert item.amount == 120
    assert items.update(item.id, {"quantity": 5}).amount == 200
    assert items.list({"customer": customer, "pending": True}).data[0].quantity == 5
    for form, param in (
        ({"customer": customer}, "amount"),
        ({"customer": customer, "amount": "5"}, "currency"),
    ):
        error = account.raw.post("/v1/invoiceitems", data=form).json()["error"]
        assert (error["code"], error["param"]) == ("parameter_missing", param)


def test_an_item_fits_its_invoice(account: Account) -> None:
    """Another's draft, a finalised one, or another currency takes no item."""
    customer, other = account.customer(), account.customer()
    invoice = draft(account, customer)
    with pytest.raises(stripe.InvalidRequestError, match="not a draft of this customer"):
        add_item(account, other, invoice=invoice)
    with pytest.raises(stripe.InvalidRequestError, match="currency"):
        add_item(account, customer, invoice=invoice, currency="eur")
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        add_item(account, customer, subscription="sub_none")
    assert account.stripe.invoice_items.list({"customer": customer}).data == []


def test_a_draft_is_changed_until_it_is_finalised(account: Account) -> None:
    """Text, due date, payment method and metadata; later only what moves it on."""
    customer = account.customer()
    add_item(account, customer)
    invoice = draft(account, customer, collection_method="send_invoice", days_until_due=7)
    api = account.stripe.invoices
    made = api.retrieve(invoice)
    assert made.due_date == made.created + 7 * DAY_S
    method = account.stripe.payment_methods.list({"customer": customer}).data[0].id
    changed = api.update(
        invoice,
        {
            "description": "For work",
            "footer": "Thanks",
            "days_until_due": 9,
            "default_payment_method": method,
            "metadata": {"a": "1"},
        },
    )
    assert (changed.due_date, changed.default_payment_method) == (made.created + 9 * DAY_S, method)
    later = {"due_date": made.created + 20 * DAY_S, "default_payment_method": ""}
    assert api.update(invoice, later).due_date == made.created + 20 * DAY_S  # type: ignore[arg-type]  # typed by its keys
    api.finalize_invoice(invoice)
    metadata: Any = api.update(invoice, {"metadata": {"a": ""}}).metadata
    assert metadata.to_dict() == {}
    with pytest.raises(stripe.InvalidRequestError, match="draft"):
        api.update(invoice, {"description": "late"})


def test_a_draft_that_advances_is_finalised_in_an_hour(account: Account) -> None:
    """With ``auto_advance`` it is collected by itself; taken back, it stays a draft."""
    customer = account.customer()
    add_item(account, customer)
    first = draft(account, customer, auto_advance=True)
    second = draft(account, customer, auto_advance=True)
    account.stripe.invoices.update(second, {"auto_advance": False})
    account.advance(account.now + 3_600)
    assert account.stripe.invoices.retrieve(first).status == "paid"
    assert account.stripe.invoices.retrieve(second).status == "draft"
    assert account.stripe.invoices.finalize_invoice(second, {"auto_advance": True}).status == "paid"


def test_finalising_collects_what_advances(account: Account) -> None:
    """An invoice told to advance is charged as it is finalised; one that is sent waits."""
    customer = account.customer()
    api = account.stripe.invoices
    add_item(account, customer)
    assert api.finalize_invoice(draft(account, customer), {"auto_advance": True}).status == "paid"
    add_item(account, customer)
    sent = api.send_invoice(
        draft(account, customer, collection_method="send_invoice", days_until_due=3)
    )
    assert (sent.status, sent.attempted) == ("open", False)
    missing = account.raw.post(
        "/v1/invoices", data={"customer": customer, "collection_method": "send_invoice"}
    )
    assert missing.json()["error"]["param"] == "days_until_due"
    assert account.raw.post("/v1/invoices").json()["error"]["param"] == "customer"


def test_an_invoice_is_paid_once(account: Account) -> None:
    """A paid or void one cannot be paid, a draft or uncollectible one can; none without a card."""
    customer, poor = account.customer(), account.customer(None)
    api = account.stripe.invoices
    add_item(account, customer)
    paid = api.pay(draft(account, customer))
    assert paid.status == "paid"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        api.pay(paid.id)
    add_item(account, poor)
    invoice = draft(account, poor)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        api.pay(invoice)
    api.finalize_invoice(invoice)
    assert api.mark_uncollectible(invoice).status == "uncollectible"
    with pytest.raises(stripe.InvalidRequestError, match="mark uncollectible"):
        api.mark_uncollectible(invoice)
    with pytest.raises(stripe.InvalidRequestError, match="send"):
        api.send_invoice(invoice)
    assert api.void_invoice(invoice).status == "void"
    with pytest.raises(stripe.InvalidRequestError, match="void"):
        api.pay(invoice)
    with pytest.raises(stripe.InvalidRequestError, match="can only void"):
        api.void_invoice(invoice)


def test_a_card_that_must_be_authenticated_asks_for_action(account: Account) -> None:
    """Off session it is a decline that tells the merchant to fetch the customer."""
    customer = account.customer("pm_card_threeDSecure2Required")
    add_item(account, customer)
    with pytest.raises(stripe.CardError) as caught:
        account.stripe.invoices.pay(draft(account, customer))
    assert caught.value.code == "authentication_required"
    assert account.event_types()[-3:] == [
        "invoice.payment_action_required",
        "invoice.updated",
        "invoice.payment_failed",
    ]
    on_session = draft(account, customer)
    assert account.stripe.invoices.finalize_invoice(on_session).status == "paid"  # nothing is due


def test_a_deleted_draft_gives_its_items_back(account: Account) -> None:
    """They are pending again; what is not a draft stays."""
    customer = account.customer()
    item = add_item(account, customer)
    assert account.stripe.invoices.delete(draft(account, customer)).deleted
    assert account.stripe.invoice_items.retrieve(item).invoice is None
    invoice = draft(account, customer)
    account.stripe.invoices.finalize_invoice(invoice)
    with pytest.raises(stripe.InvalidRequestError, match="only delete draft"):
        account.stripe.invoices.delete(invoice)


def test_invoices_lines_and_payments_are_listed(account: Account) -> None:
    """By customer, status and subscription; payments by intent."""
    customer = account.customer()
    add_item(account, customer)
    add_item(account, customer, 700)
    invoice = account.stripe.invoices.pay(draft(account, customer))
    made = subscribe(account, customer, account.price())
    api = account.stripe.invoices
    assert len(api.list({"customer": customer, "status": "paid"}).data) == 2
    assert len(api.list({"subscription": made.id}).data) == 1
    lines = api.line_items.list(invoice.id).data
    assert [line.amount for line in lines] == [500, 700]
    [payment] = account.stripe.invoice_payments.list({"invoice": invoice.id}).data
    intent: Any = payment.payment.payment_intent
    given: Any = {"payment": {"type": "payment_intent", "payment_intent": intent}}
    found = account.stripe.invoice_payments.list(given).data
    assert [each.id for each in found] == [payment.id]
    assert account.stripe.invoice_payments.retrieve(payment.id).status == "paid"


def test_a_preview_tells_the_next_renewal(account: Account) -> None:
    """It has the renewal's lines and date, and leaves nothing behind."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000), quantity=2)
    add_item(account, customer, 300)
    before, end = len(account.event_types()), item_of(made).current_period_end
    shown = preview(account, customer=customer)
    assert shown.id.startswith("upcoming_in_")
    assert (shown.total, shown.created, shown.billing_reason) == (2_300, end, "upcoming")
    assert {line.invoice for line in shown.lines.data} == {shown.id}
    assert len(account.event_types()) == before
    assert len(invoices(account, made.id)) == 1
    account.advance(end + 3_600)
    assert invoices(account, made.id)[-1].total == shown.total


def test_a_preview_of_a_change_is_what_it_costs(account: Account) -> None:
    """Previewed and made at the same moment, an upgrade costs the same."""
    customer = account.customer()
    made = subscribe(account, customer, account.price(1_000))
    item, dearer = item_of(made), account.price(7_001)
    account.advance(account.now + 11 * DAY_S + 12_345)
    details: Any = {
        "items": [{"id": item.id, "price": dearer, "quantity": 3}],
        "proration_behavior": "always_invoice",
    }
    shown = preview(account, subscription=made.id, subscription_details=details)
    assert item_of(account.stripe.subscriptions.retrieve(made.id)).quantity == 1
    account.stripe.subscriptions.update(made.id, details)
    assert invoices(account, made.id)[-1].total == shown.total > 0


def test_a_preview_adds_prorations_to_the_renewal(account: Account) -> None:
    """Without ``always_invoice`` the change's prorations come with the next renewal."""
    made = subscribe(account, account.customer(), account.price(1_000))
    details: Any = {"items": [{"id": item_of(made).id, "quantity": 3}]}
    shown = preview(account, subscription=made.id, subscription_details=details)
    assert [line.amount for line in shown.lines.data] == [-1_000, 3_000, 3_000]


def test_a_new_subscription_is_previewed(account: Account) -> None:
    """What a subscription would cost at once, with its coupon and a price made up for it."""
    customer = account.customer(None)
    coupon = account.stripe.coupons.create({"percent_off": 50, "duration": "forever"}).id
    product = account.stripe.products.create({"name": "P"}).id
    price: Any = {
        "currency": "usd",
        "product": product,
        "unit_amount": 900,
        "recurring": {"interval": "month"},
    }
    shown = preview(
        account,
        customer=customer,
        discounts=[{"coupon": coupon}],
        subscription_details={"items": [{"price_data": price}]},
    )
    assert (shown.subtotal, shown.total) == (900, 450)
    assert account.stripe.subscriptions.list().data == []
    assert account.stripe.coupons.retrieve(coupon).times_redeemed == 0


def test_a_preview_needs_something_to_come(account: Account) -> None:
    """Pending items alone are previewed; nothing to come is a 404 with its own code."""
    customer = account.customer()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        preview(account, customer=customer)
    assert (caught.value.code, caught.value.http_status) == ("invoice_upcoming_none", 404)
    assert (
        preview(
            account, customer=customer, invoice_items=[{"amount": 300, "currency": "usd"}]
        ).total
        == 300
    )
    with pytest.raises(stripe.InvalidRequestError, match="one of"):
        preview(account)
    made = subscribe(account, customer, account.price())
    with pytest.raises(stripe.InvalidRequestError, match="No upcoming"):
        preview(account, subscription=made.id, subscription_details={"cancel_at_period_end": True})


def test_cancelling_now_is_previewed(account: Account) -> None:
    """The credit for what is left is shown; without proration there is nothing to show."""
    made = subscribe(account, account.customer(), account.price(1_000))
    now: Any = {"cancel_now": True}
    assert preview(account, subscription=made.id, subscription_details=now).total == -1_000
    with pytest.raises(stripe.InvalidRequestError, match="No upcoming"):
        preview(
            account,
            subscription=made.id,
            subscription_details={**now, "proration_behavior": "none"},
        )


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible"), ("void", "void")],
)
def test_paused_collection_takes_no_money(account: Account, behavior: Any, status: str) -> None:
    """Renewals go on as drafts, written off or void until collection resumes by itself."""
    made = subscribe(account, account.customer(), account.price(1_000))
    end = item_of(made).current_period_end
    account.stripe.subscriptions.update(
        made.id, {"pause_collection": {"behavior": behavior, "resumes_at": end + DAY_S}}
    )
    account.advance(end + 3_600)
    assert invoices(account, made.id)[-1].status == status
    account.advance(end + DAY_S)
    resumed = account.stripe.subscriptions.retrieve(made.id)
    assert (resumed.pause_collection, resumed.status) == (None, "active")
    account.advance(item_of(resumed).current_period_end + 3_600)
    assert [each.status for each in invoices(account, made.id)] == ["paid", status, "paid"]
    assert account.journal()["balances"] == {"usd": 2_000}


def test_collection_is_resumed_by_hand(account: Account) -> None:
    """An empty ``pause_collection`` ends the pause."""
    made = subscribe(account, account.customer(), account.price(1_000))
    subscriptions = account.stripe.subscriptions
    paused = subscriptions.update(made.id, {"pause_collection": {"behavior": "void"}})
    assert paused.pause_collection is not None
    assert subscriptions.update(made.id, {"pause_collection": ""}).pause_collection is None
    account.advance(item_of(made).current_period_end + 3_600)
    assert invoices(account, made.id)[-1].status == "paid"
