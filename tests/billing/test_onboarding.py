"""Onboarding with billing: who becomes a customer, with which card, and what that earns."""

from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from tests.billing.conftest import new_tenant

if TYPE_CHECKING:
    from typing import Any

    import httpx

    from tests.billing.conftest import Tenant
    from tests.billing.running import Service

ONBOARD = "/api/v1/customers/onboard"
DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedLostCard": "lost_card",
    "pm_card_chargeDeclinedStolenCard": "stolen_card",
    "pm_card_chargeDeclinedFraudulent": "fraudulent",
    "pm_card_chargeDeclinedVelocityLimitExceeded": "card_velocity_exceeded",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_chargeDeclinedIncorrectCvc": "incorrect_cvc",
    "pm_card_chargeDeclinedProcessingError": "processing_error",
}


def sign_up(service: Service, **body: object) -> httpx.Response:
    """Onboard as whoever comes along."""
    with service.client() as anyone:
        return anyone.post(ONBOARD, json=body)


def rows(service: Service, query: str, **values: object) -> list[Any]:
    """Look into the database."""
    engine = create_engine(service.env["BILLING_DATABASE_URL"])
    with engine.connect() as connection:
        found = list(connection.execute(text(query), values).scalars())
    engine.dispose()
    return found


def at_stripe(tenant: Tenant) -> list[str]:
    """Give the cards that Stripe has for a customer."""
    listed = tenant.service.simulator.official().v1.payment_methods.list(
        {"customer": tenant.stripe_id}
    )
    return [each.id for each in listed.data]


def come_back(tenant: Tenant, email: str) -> httpx.Response:
    """Close the account and sign up again."""
    assert tenant.http.delete(tenant.path).json()["status"] == "closed"
    return sign_up(tenant.service, email=email)


def test_a_sign_up_is_whole_here_and_at_stripe(service: Service) -> None:
    """Key, five credits, five letters here; e-mail, name and whose it is at Stripe."""
    email = "whole@example.com"
    told = sign_up(service, email=email, name="Zoë 🚀 O'Neil").json()
    assert (told["credit_balance"], told["source"]) == (5, "direct")
    customer = service.simulator.official().v1.customers.retrieve(told["stripe_customer_id"])
    assert (customer.email, customer.name) == (email, "Zoë 🚀 O'Neil")
    assert customer.metadata is not None
    written = customer.metadata.to_dict()
    assert written == {
        "customer_id": told["customer_id"],
        "source": "direct",
        "environment": "test",
    }
    query = "SELECT template FROM outbox_emails WHERE customer_id = :c ORDER BY due_at"
    letters = rows(service, query, c=told["customer_id"])
    assert letters == ["welcome", *(f"follow_up_{day}" for day in (1, 3, 7, 14))]
    with service.client(told["api_key"]) as http:
        (entry,) = http.get(f"/api/v1/customers/{told['customer_id']}/transactions").json()["data"]
    assert (entry["source"], entry["cause"], entry["metadata"]) == (
        "trial_signup",
        "signup",
        {"source": "direct"},
    )


def test_a_marketplace_install_says_so_everywhere(service: Service) -> None:
    """The source is on the customer, the first ledger entry and the Stripe customer; no more."""
    install = {"source": "gh_marketplace", "installation_id": "install-everywhere"}
    told = sign_up(service, email="market@example.com", **install).json()
    assert (told["source"], told["credit_balance"]) == ("gh_marketplace", 5)
    with service.client(told["api_key"]) as http:
        path = f"/api/v1/customers/{told['customer_id']}"
        shown = http.get(path).json()
        (entry,) = http.get(f"{path}/transactions").json()["data"]
    assert (shown["source"], shown["plan"]) == ("gh_marketplace", "trial")
    assert entry["metadata"] == {"source": "gh_marketplace"}
    customer = service.simulator.official().v1.customers.retrieve(told["stripe_customer_id"])
    assert customer.metadata is not None
    assert customer.metadata["source"] == "gh_marketplace"


def test_an_install_may_come_back_after_its_account_was_closed(service: Service) -> None:
    """The same installation signs up again, and by the same e-mail earns nothing again."""
    install = {"source": "gh_marketplace", "installation_id": "install-back"}
    first = sign_up(service, email="back@example.com", **install).json()
    with service.client(first["api_key"]) as http:
        http.delete(f"/api/v1/customers/{first['customer_id']}").raise_for_status()
    again = sign_up(service, email="back@example.com", **install)
    assert (again.status_code, again.json()["credit_balance"]) == (201, 0)
    assert again.json()["customer_id"] != first["customer_id"]


def test_the_first_card_makes_ten(tenant: Tenant) -> None:
    """Five for the first card on top of five for signing up; the plan stays trial."""
    told = tenant.add_card().json()
    assert (told["credits_granted"], told["credit_balance"], told["is_default"]) == (5, 10, True)
    assert (told["brand"], told["last4"]) == ("visa", "4242")
    shown = tenant.get()
    assert (shown["has_billing"], shown["plan"]) == (True, "trial")
    assert at_stripe(tenant) == [told["payment_method_id"]]
    assert tenant.page("payments") == []


def test_a_second_card_is_the_default_and_earns_nothing(tenant: Tenant) -> None:
    """What comes last is charged; the first stays on file."""
    first = tenant.add_card().json()["payment_method_id"]
    second = tenant.add_card("pm_card_mastercard").json()
    assert (second["credits_granted"], second["is_default"]) == (0, True)
    listed = {c["payment_method_id"]: c["is_default"] for c in tenant.page("payment-methods")}
    assert listed == {second["payment_method_id"]: True, first: False}
    tenant.use_up()
    tenant.fix("paid")
    (entry,) = tenant.service.simulator.journal(tenant.stripe_id)
    charge = tenant.service.simulator.official().v1.charges.retrieve(entry["provider_id"])
    assert charge.payment_method == second["payment_method_id"]


@pytest.mark.parametrize(("card", "reason"), DECLINES.items())
def test_a_declined_card_earns_nothing_and_is_not_kept(
    tenant: Tenant, card: str, reason: str
) -> None:
    """Every decline is a 402 that names its reason; no card, no credit, here or at Stripe."""
    before = tenant.snapshot()
    refused = tenant.add_card(card)
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (402, "card_declined")
    assert problem["decline_code"] == reason
    assert tenant.snapshot() == before
    assert at_stripe(tenant) == []
    good = tenant.add_card().json()
    assert good["credits_granted"] == 5


def test_a_card_of_3d_secure_is_kept_and_asks_its_holder_when_charged(tenant: Tenant) -> None:
    """Attaching earns the credits; the first charge says what completes it, and costs nothing."""
    assert tenant.add_card("pm_card_threeDSecure2Required").json()["credits_granted"] == 5
    tenant.use_up()
    before = tenant.snapshot()
    refused = tenant.fix("fix-1")
    assert (refused.status_code, refused.json()["code"]) == (402, "authentication_required")
    assert refused.json()["payment_intent"].startswith("pi_")
    assert tenant.snapshot() == before
    assert tenant.subscribe().json()["code"] in {"authentication_required", "card_declined"}
    assert tenant.snapshot() == before


def test_a_token_is_as_good_as_a_payment_method(tenant: Tenant) -> None:
    """What Stripe's own form gives, old or new, is taken."""
    told = tenant.add_card("tok_visa").json()
    assert told["payment_method_id"].startswith("pm_")
    assert (told["last4"], told["credits_granted"]) == ("4242", 5)


@pytest.mark.parametrize(
    "consent", [{"billing_consent": False}, {}, {"billing_consent": None},
                {"billing_consent": "true"}, {"billing_consent": 1}],
)  # fmt: skip
def test_only_a_true_consent_is_one(tenant: Tenant, consent: dict[str, object]) -> None:
    """No, nothing, or what only looks like yes: no card is attached, here or at Stripe."""
    body = {"payment_method": "pm_card_visa", **consent}
    refused = tenant.post(f"{tenant.path}/payment-methods", body)
    assert refused.status_code == 422
    assert refused.json()["code"] in {"billing_consent_required", "validation_failed"}
    assert at_stripe(tenant) == []
    assert tenant.get()["credit_balance"] == 5


def test_the_same_card_on_a_second_trial(tenant: Tenant, other_tenant: Tenant) -> None:
    """A card is no identity: two customers may pay by one, and each earns for their own e-mail."""
    assert tenant.add_card().json()["credits_granted"] == 5
    assert other_tenant.add_card().json()["credits_granted"] == 5
    tenant.use_up()
    tenant.fix("paid")
    assert other_tenant.page("payments") == []
    assert other_tenant.get()["credit_balance"] == 10


def test_anothers_payment_method_is_as_none(tenant: Tenant, other_tenant: Tenant) -> None:
    """Whoever learns the id of another's card can neither take it over nor charge it."""
    theirs = other_tenant.add_card().json()["payment_method_id"]
    refused = tenant.add_card(theirs)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_payment_method")
    assert (at_stripe(tenant), at_stripe(other_tenant)) == ([], [theirs])
    assert tenant.get()["has_billing"] is False


def test_an_address_in_any_case_or_form_is_one_address(tenant: Tenant) -> None:
    """Coming back under another spelling of the e-mail earns nothing again."""
    shouted = tenant.email.upper()
    back = come_back(tenant, f"  {shouted} ")
    assert (back.status_code, back.json()["credit_balance"]) == (201, 0)


def test_composed_and_decomposed_letters_are_one_address(service: Service) -> None:
    """An e-mail that looks the same and is spelt in other code points is taken."""
    email = "zoë@example.com"
    assert sign_up(service, email=unicodedata.normalize("NFC", email)).status_code == 201
    refused = sign_up(service, email=unicodedata.normalize("NFD", email))
    assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")


def test_an_address_has_254_characters_at_most(service: Service) -> None:
    """The longest that mail knows is taken, one more is not."""
    tail = "@" + "a" * 63 + "." + "b" * 63 + "." + "c" * 57 + ".com"
    longest = "l" * (254 - len(tail)) + tail
    assert sign_up(service, email=longest).status_code == 201
    assert sign_up(service, email="l" + longest).status_code == 422


def test_closed_and_back_again_and_again(tenant: Tenant) -> None:
    """Each account is a new one with an empty ledger; the old key opens nothing, the old id too."""
    tenant.add_card()
    old = tenant.id
    back = come_back(tenant, tenant.email).json()
    assert back["customer_id"] != old
    assert back["stripe_customer_id"] != tenant.stripe_id
    with tenant.service.client(back["api_key"]) as http:
        assert http.get(f"/api/v1/customers/{old}").status_code == 404
        mine = http.get(f"/api/v1/customers/{back['customer_id']}").json()
        assert (mine["has_billing"], mine["plan"], mine["credit_balance"]) == (False, "trial", 0)
        refused = http.post("/api/v1/billing/track_fix", json={"fix_id": "f"})
    assert (refused.status_code, refused.json()["code"]) == (402, "no_billing_info")


def test_a_closed_account_begins_nothing(tenant: Tenant) -> None:
    """Not even the operator adds a card, a plan or a subscription to it: nobody could end it."""
    tenant.add_card()
    tenant.http.delete(tenant.path).raise_for_status()
    with tenant.service.operator as operator:
        card = {"payment_method": "pm_card_visa", "billing_consent": True}
        replies = [
            operator.post(f"{tenant.path}/payment-methods", json=card),
            operator.post(f"{tenant.path}/subscription", json={"plan": "pro"}),
            operator.put(f"{tenant.path}/plan", json={"plan": "payg"}),
        ]
    assert [(r.status_code, r.json()["code"]) for r in replies] == [(404, "not_found")] * 3
    assert tenant.service.simulator.taken_minor(tenant.stripe_id) == 0


def test_two_sign_ups_at_once_make_one_customer(service: Service) -> None:
    """One e-mail in two spellings, one installation under two e-mails: one of two is made."""
    install = {"source": "gh_marketplace", "installation_id": "install-at-once"}
    pairs = [
        ({"email": "at-once@example.com"}, {"email": "AT-ONCE@example.com"}, "email_taken"),
        (
            {"email": "at-once-a@example.com", **install},
            {"email": "at-once-b@example.com", **install},
            "install_taken",
        ),
    ]
    with ThreadPoolExecutor(2) as pool:
        for one, other, code in pairs:
            replies = list(pool.map(lambda body: sign_up(service, **body), (one, other)))
            assert sorted(r.status_code for r in replies) == [201, 409]
            (refused,) = [r for r in replies if r.status_code == 409]
            assert refused.json()["code"] == code


def test_two_first_cards_at_once_earn_once(service: Service) -> None:
    """Two cards from two windows are both on file, one of them the default; five credits come."""
    with new_tenant(service) as tenant, ThreadPoolExecutor(2) as pool:
        cards = ("pm_card_visa", "pm_card_mastercard")
        replies = list(pool.map(tenant.add_card, cards))
        assert sorted(r.json()["credits_granted"] for r in replies) == [0, 5]
        listed = tenant.page("payment-methods")
        assert sorted(c["is_default"] for c in listed) == [False, True]
        assert tenant.get()["credit_balance"] == 10


def test_a_customer_without_a_card_left_is_refused_again(tenant: Tenant) -> None:
    """With the last card gone and no credit left, a fix is refused; a new card pays for it."""
    card = tenant.add_card().json()["payment_method_id"]
    tenant.use_up()
    tenant.http.delete(f"{tenant.path}/payment-methods/{card}").raise_for_status()
    assert at_stripe(tenant) == []
    assert tenant.fix("fix-1").json()["code"] == "no_billing_info"
    tenant.add_card("pm_card_mastercard")
    assert tenant.fix("fix-1").json()["charged_minor"] == 2900
    tenant.assert_books_balance()


def test_closing_and_coming_back_earns_nothing_again(tenant: Tenant) -> None:
    """An e-mail earns its sign-up and its first-card credits once in its life."""
    tenant.add_card()
    assert tenant.http.delete(tenant.path).json()["status"] == "closed"
    assert tenant.http.get(tenant.path).status_code == 401
    with tenant.service.client() as anyone:
        back = anyone.post("/api/v1/customers/onboard", json={"email": tenant.email}).json()
    assert back["credit_balance"] == 0
    tenant.http.headers["X-API-Key"] = back["api_key"]
    tenant.id = back["customer_id"]
    assert tenant.add_card().json()["credits_granted"] == 0


def test_removing_and_adding_cards_earns_nothing_again(tenant: Tenant) -> None:
    """The first card's credits come once, whichever card it was."""
    first = tenant.add_card().json()
    removed = tenant.http.delete(f"{tenant.path}/payment-methods/{first['payment_method_id']}")
    assert removed.json()["removed"] is True
    assert tenant.get()["has_billing"] is False
    assert tenant.add_card("pm_card_mastercard").json()["credits_granted"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"plan": "pro"},
        {"credits": 100},
        {"email": "x@example.com", "plan": "pro"},
        {"email": "x@example.com", "credit_balance": 100},
        {"email": "not an e-mail"},
        {"email": "two@at@example.com"},
        {"email": "nul\x00@example.com"},
        {"email": "x@example.com", "name": "line\nbreak"},
        {"email": "x@example.com", "source": "elsewhere"},
        {"email": 7},
        [],
    ],
)
def test_nobody_signs_up_with_more_than_is_asked(tenant: Tenant, body: object) -> None:
    """Plan and credits are not a client's to set, and odd values are refused without an echo."""
    with tenant.service.client() as anyone:
        reply = anyone.post("/api/v1/customers/onboard", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "validation_failed")
    assert "example.com" not in reply.text


def test_consent_comes_first(tenant: Tenant) -> None:
    """Without consent no card is attached."""
    refused = tenant.add_card(consent=False)
    assert (refused.status_code, refused.json()["code"]) == (422, "billing_consent_required")
    unknown = tenant.add_card("pm_1234567890")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_payment_method")
    assert tenant.page("payment-methods") == []


def test_an_e_mail_has_one_open_account(tenant: Tenant) -> None:
    """However it is written, an e-mail in use is taken."""
    with tenant.service.client() as anyone:
        for email in (tenant.email, tenant.email.upper(), f" {tenant.email} "):
            refused = anyone.post("/api/v1/customers/onboard", json={"email": email})
            assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")


def test_an_installation_makes_one_customer(tenant: Tenant) -> None:
    """A repeated marketplace install is refused, whichever e-mail it brings."""
    install = {"source": "gh_marketplace", "installation_id": f"i-{tenant.id}"}
    with tenant.service.client() as anyone:
        url = "/api/v1/customers/onboard"
        first = anyone.post(url, json={"email": f"a-{tenant.email}", **install})
        again = anyone.post(url, json={"email": f"b-{tenant.email}", **install})
    assert first.json()["source"] == "gh_marketplace"
    assert (again.status_code, again.json()["code"]) == (409, "install_taken")
