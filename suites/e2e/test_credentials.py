"""Credentials for a while: an API key is traded for something that does one thing, and ends."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.transport import spare_address
from suites.e2e.steps import add_card, paid_minor, sign_up, units_of, use, used_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.ground import Ground
    from harness.session import Customer, Session
    from harness.target.protocol import Outcome
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires("create_customer", "exchange_credentials", "get_balance")
PROVIDER = "github"
TTL_MINUTES = 10
TEN_YEARS_MINUTES = 10 * 365 * 24 * 60
# Two clocks that follow each other, and a request on its way.
CLOCKS_APART_S = 120
JWT_PARTS = 3


@pytest.fixture
def billing(billing: Session, ground: Ground, request: pytest.FixtureRequest) -> Iterator[Session]:
    """Give a test its hold on the target, from an address of its own: it shows wrong keys."""
    base_url = ground.target.profile.target.base_url
    address = spare_address(base_url, f"{ground.plan.run_id} {request.node.nodeid}")
    if address is None:
        yield billing
        return
    with ground.visit(request.node.nodeid, address) as visiting:
        yield visiting


def _exchange(billing: Session, customer: Customer, **said: Any) -> Outcome:
    about = {"providers": [PROVIDER], "ttl_minutes": TTL_MINUTES, **said}
    return _known(billing.perform("exchange_credentials", customer=customer, **about))


def _known(outcome: Outcome) -> Outcome:
    """Give an outcome that says something: where the answer was lost, nothing was seen."""
    if outcome.kind == "unknown":
        raise Unknown(f"what a credential or its key opens was not seen: {outcome}")
    return outcome


def _given(outcome: Outcome) -> Outcome:
    assert outcome.kind == "ok", f"credentials that are due were {outcome}"
    return outcome


def _ends_at(outcome: Outcome) -> int:
    ends_at = _given(outcome).get("expires_at")
    if not isinstance(ends_at, int):
        pytest.skip("exchange_credentials shows no expires_at")
    return ends_at


def _claims(outcome: Outcome) -> dict[str, Any]:
    """Read what a credential says of itself, where it is a JWT (RFC 7519)."""
    parts = str(_given(outcome).get("credential") or "").split(".")
    if len(parts) != JWT_PARTS:
        pytest.skip("the credentials are no JWTs: what they say cannot be read")
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(padded))
    return claims


@pytest.mark.requirement("BH-10", "BH-E2E-CREDENTIALS", "ASVS 5.0 V8.2.1")
def test_a_credential_is_for_what_was_asked_and_nothing_else(billing: Session) -> None:
    """It names the one provider that it is for, ends when its answer says, and opens no account."""
    customer = sign_up(billing)
    made = _exchange(billing, customer)
    claims = _claims(made)
    assert claims.get("aud") in (PROVIDER, [PROVIDER]), f"it is for {claims.get('aud')!r}"
    assert claims.get("exp") == made.get("expires_at"), "it ends at another time than was told"
    assert customer.credential not in made["credential"], "it holds the key that it was traded for"
    read = billing.perform("get_balance", customer=customer, credential=made["credential"])
    outcome = _known(read)
    assert outcome.kind == "refused", "whoever has a provider's credential may read the account"


@pytest.mark.requirement("BH-10", "BH-E2E-CREDENTIALS")
def test_a_credential_ends_as_long_from_now_as_was_asked(billing: Session, clock: Timeline) -> None:
    """Its end is counted from when it was made, also for one that is made hours later."""
    customer = sign_up(billing)
    for minutes in (TTL_MINUTES, 3 * TTL_MINUTES):
        lasts_s = _ends_at(_exchange(billing, customer, ttl_minutes=minutes)) - clock.now()
        off_s = abs(lasts_s - minutes * 60)
        assert off_s <= CLOCKS_APART_S, f"a credential for {minutes} minutes lasts {lasts_s} s"
        clock.advance(hours=5)


@pytest.mark.requirement("BH-4", "BH-E2E-CREDENTIALS")
@pytest.mark.parametrize("ttl_minutes", [0, -TTL_MINUTES, TEN_YEARS_MINUTES])
def test_a_credential_has_an_end_that_makes_sense(billing: Session, ttl_minutes: int) -> None:
    """One that ends before it begins is refused, and one for years is refused or cut short."""
    outcome = _exchange(billing, sign_up(billing), ttl_minutes=ttl_minutes)
    if outcome.kind == "ok" and ttl_minutes > 0:
        day_s = 24 * 3600
        began_at = billing.records[-1].began_at
        assert _ends_at(outcome) - began_at < ttl_minutes * 60 - day_s, "it lasts for ten years"
        return
    assert outcome.kind == "refused", f"a credential for {ttl_minutes} minutes was {outcome}"


@pytest.mark.requirement("BH-4", "BH-E2E-CREDENTIALS")
def test_a_provider_that_is_not_on_offer_is_refused(billing: Session) -> None:
    """Nobody gets a credential for a provider of his own invention, also beside a known one."""
    customer = sign_up(billing)
    for providers in (["a-provider-of-no-one"], [PROVIDER, "a-provider-of-no-one"], []):
        outcome = _exchange(billing, customer, providers=providers)
        assert outcome.kind == "refused", f"credentials for {providers} were {outcome}"


@pytest.mark.requires("record_usage", "add_payment_method")
@pytest.mark.requirement("BH-4", "BH-E2E-CREDENTIALS", "BH-E2E-BLOCKED")
def test_credentials_are_for_who_could_pay(billing: Session, ground: Ground) -> None:
    """Without units and billing there are none, a card brings them, and they cost nothing."""
    customer = used_up(billing, card=None)
    outcome = _exchange(billing, customer)
    assert outcome.kind == "refused", f"who could pay for nothing got credentials: {outcome}"
    add_card(billing, customer)
    use(billing, customer, units_of(billing, customer))
    _given(_exchange(billing, customer))
    paid = paid_minor(ground, customer)
    assert (units_of(billing, customer), paid) == (0, []), "credentials moved units or money"


@pytest.mark.requirement("BH-4", "BH-E2E-CREDENTIALS", "ASVS 5.0 V8.3.2", "CWE-613")
@pytest.mark.parametrize("ending", ["revoke_key", "rotate_key", "close_customer"])
def test_an_ended_key_is_traded_for_nothing(billing: Session, ending: str) -> None:
    """A key that was revoked, rotated or closed brings no credentials, not even those it had."""
    if missing := {ending, "create_key"} - billing.target.operations:
        pytest.skip(f"the target does not map {', '.join(sorted(missing))}")
    customer = sign_up(billing)
    second = billing.ok("create_key", customer=customer)
    about = {"credential": second["credential"], "idempotency_key": billing.names.new("key")}
    _given(_exchange(billing, customer, **about))
    billing.ok(
        ending, customer=customer, **({} if ending == "close_customer" else {"key": second["key"]})
    )
    again = _exchange(billing, customer, **about)
    assert again.kind == "refused", f"after {ending} what a key had brought was had again"
    outcome = _exchange(billing, customer, credential=second["credential"])
    assert outcome.kind == "refused", f"after {ending} a key was traded for credentials"
