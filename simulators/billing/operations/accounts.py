"""Customers: onboarding, looking at them, their plan, and closing their account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from simulators.billing import failpoints, ledger
from simulators.billing.core import Answer
from simulators.billing.identifiers import new_api_key, new_id
from simulators.billing.ledger import Posting
from simulators.billing.problems import Refusal, no_billing_info, not_found, provider_unavailable
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import (
    ApiKey,
    Customer,
    EarnedGrant,
    OnboardingAttempt,
    OutboxEmail,
    PaymentMethod,
    Subscription,
)
from simulators.billing.stripe_gateway.errors import GatewayError, StripeRefusal
from simulators.billing.stripe_gateway.facts import CustomerOrder

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.idempotency import Slot

_GRANT = "trial_signup"
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class SignUp:
    """Who wants to become a customer; `installation_id` comes with a marketplace install.

    `test_clock` is Stripe's, and only ever given where test controls are.
    """

    email: str
    name: str | None
    source: str
    installation_id: str | None
    test_clock: str | None = None


def onboard(core: Core, sign_up: SignUp, slot: Slot) -> Answer:
    """Make a customer here and at Stripe, with a key, credits and e-mails; all or nothing.

    The id is fixed before Stripe is asked. Should we die after that, the next try for the same
    e-mail finds the id, and by it the Stripe customer that is already there.
    """
    digest = email_digest(core, sign_up.email)
    customer_id, is_repeat, stripe_customer_id = _attempt(core, sign_up, digest)
    failpoints.hit("onboarding.before_stripe")
    if stripe_customer_id is None:
        stripe_customer_id = _stripe_customer(core, sign_up, customer_id, is_repeat=is_repeat)
    failpoints.hit("onboarding.after_stripe")
    key = new_api_key()
    now = core.clock.now()
    alone_with = _taken_names(sign_up, digest)
    with core.database.write("onboarding.account", alone_with=alone_with) as session:
        _refuse_taken(session, sign_up)
        customer = Customer(
            id=customer_id,
            email=sign_up.email,
            name=sign_up.name,
            source=sign_up.source,
            installation_id=sign_up.installation_id,
            stripe_customer_id=stripe_customer_id,
            plan="trial",
            created_at=now,
        )
        session.add(customer)
        session.flush()
        _first_belongings(core, session, customer, key, digest)
        attempt = session.get(OnboardingAttempt, digest)
        if attempt is not None:
            session.delete(attempt)
        body = {
            "customer_id": customer_id,
            "stripe_customer_id": stripe_customer_id,
            "api_key": key,
            "credit_balance": ledger.balance(session, customer_id),
            "source": sign_up.source,
        }
        return slot.keep(session, Answer(201, body))


def show(core: Core, customer_id: str) -> Answer:
    """Give a customer."""
    with core.database.read() as session:
        customer = session.get(Customer, customer_id)
        if customer is None:
            raise not_found()
        return Answer(200, rendered(session, customer))


def close(core: Core, customer_id: str) -> Answer:
    """Close the account: its keys end, its e-mails stop, its ledger stays."""
    now = core.clock.now()
    with core.database.write() as session:
        customer = locked_customer(session, customer_id)
        if customer is None:
            raise not_found()
        if living_subscription_id(session, customer_id):
            raise subscription_active()
        if customer.closed_at is None:
            customer.closed_at = now
            keys = update(ApiKey).where(
                ApiKey.customer_id == customer_id, ApiKey.revoked_at.is_(None)
            )
            session.execute(keys.values(revoked_at=now))
            emails = update(OutboxEmail).where(
                OutboxEmail.customer_id == customer_id, OutboxEmail.state == "due"
            )
            session.execute(emails.values(state="dropped", settled_at=now))
            session.flush()
        return Answer(200, rendered(session, customer))


def set_plan(core: Core, customer_id: str, plan: str) -> Answer:
    """Move a trial customer who has a card to payg; pro comes with a subscription only."""
    if plan != "payg":
        raise Refusal(422, "plan_not_available", "Only payg can be set; subscribe to have pro.")
    with core.database.write() as session:
        customer = locked_customer(session, customer_id)
        if customer is None or customer.closed_at is not None:
            raise not_found()
        if customer.plan == "pro":
            raise subscription_active()
        if not has_billing(session, customer_id):
            raise no_billing_info()
        customer.plan = "payg"
        session.flush()
        return Answer(200, rendered(session, customer))


def subscription_active() -> Refusal:
    """Refuse what cannot be done while there is a subscription."""
    return Refusal(409, "subscription_active", "Cancel the subscription first.")


def rendered(session: Session, customer: Customer) -> dict[str, Any]:
    """Give a customer as the API shows it."""
    return {
        "customer_id": customer.id,
        "stripe_customer_id": customer.stripe_customer_id,
        "email": customer.email,
        "name": customer.name,
        "source": customer.source,
        "plan": customer.plan,
        "status": status(session, customer),
        "credit_balance": ledger.balance(session, customer.id),
        "has_billing": has_billing(session, customer.id),
        "created_at": customer.created_at,
        "closed_at": customer.closed_at,
    }


def status(session: Session, customer: Customer) -> str:
    """Give a customer's standing: `active`, `past_due` or `closed`."""
    if customer.closed_at is not None:
        return "closed"
    living = Subscription.customer_id == customer.id, Subscription.ended_at.is_(None)
    found = session.scalar(select(Subscription.status).where(*living))
    return "past_due" if found in {"past_due", "unpaid"} else "active"


def has_billing(session: Session, customer_id: str) -> bool:
    """Tell whether there is a card to charge."""
    on_file = PaymentMethod.customer_id == customer_id, PaymentMethod.removed_at.is_(None)
    return session.scalar(select(PaymentMethod.id).where(*on_file).limit(1)) is not None


def living_subscription_id(session: Session, customer_id: str) -> str | None:
    """Give our id of the customer's subscription that has not ended."""
    living = Subscription.customer_id == customer_id, Subscription.ended_at.is_(None)
    return session.scalar(select(Subscription.id).where(*living))


def email_digest(core: Core, email: str) -> str:
    """Give what stands for an e-mail where only sameness counts."""
    return core.vault.digest("email", email)


def _taken_names(sign_up: SignUp, digest: str) -> tuple[str, ...]:
    """Name what a sign-up takes, for a lock on what is not there yet."""
    install = (f"install:{sign_up.installation_id}",) if sign_up.installation_id else ()
    return (f"email:{digest}", *install)


def _attempt(core: Core, sign_up: SignUp, digest: str) -> tuple[str, bool, str | None]:
    """Fix the customer's id before anything exists; tell whether it was fixed before.

    The last is the Stripe customer, if the reconciler found that an earlier try made one.
    """
    alone_with = _taken_names(sign_up, digest)
    with core.database.write("onboarding.attempt", alone_with=alone_with) as session:
        _refuse_taken(session, sign_up)
        attempt = session.get(OnboardingAttempt, digest)
        if attempt is not None:
            return attempt.customer_id, True, attempt.stripe_customer_id
        customer_id = new_id("cust")
        now = core.clock.now()
        session.add(OnboardingAttempt(email_digest=digest, customer_id=customer_id, created_at=now))
        return customer_id, False, None


def _stripe_customer(core: Core, sign_up: SignUp, customer_id: str, *, is_repeat: bool) -> str:
    calls = core.stripe.customers
    # Another name is another request to Stripe, and Stripe refuses one key for two requests.
    told = (sign_up.name or "", sign_up.source, *filter(None, [sign_up.test_clock]))
    content = core.vault.digest("sign-up", *told)[:16]
    order = CustomerOrder(
        customer_id=customer_id,
        email=sign_up.email,
        name=sign_up.name,
        source=sign_up.source,
        key=f"onboard:{customer_id}:{content}",
        test_clock=sign_up.test_clock,
    )
    try:
        found = calls.find(customer_id, sign_up.email) if is_repeat else None
        return found or calls.create(order)
    except StripeRefusal as error:
        if sign_up.test_clock:
            raise Refusal(422, "test_clock_refused", "Stripe refuses this test clock.") from error
        raise provider_unavailable() from error
    except GatewayError as error:
        raise provider_unavailable() from error


def _refuse_taken(session: Session, sign_up: SignUp) -> None:
    is_open = Customer.closed_at.is_(None)
    if session.scalar(select(Customer.id).where(Customer.email == sign_up.email, is_open)):
        raise Refusal(409, "email_taken", "There is an account for this e-mail already.")
    install = sign_up.installation_id
    if install is None:
        return
    if session.scalar(select(Customer.id).where(Customer.installation_id == install, is_open)):
        raise Refusal(409, "install_taken", "This installation has an account already.")


def _first_belongings(
    core: Core, session: Session, customer: Customer, key: str, digest: str
) -> None:
    """Write down the key, the credits (once in an e-mail's life) and the welcome e-mails."""
    now = customer.created_at
    stored = ApiKey(
        id=new_id("key"),
        customer_id=customer.id,
        digest=core.vault.digest("api key", key),
        created_at=now,
    )
    session.add(stored)
    units = core.catalogue.sign_up_credits
    if units and session.get(EarnedGrant, (digest, _GRANT)) is None:
        session.add(EarnedGrant(email_digest=digest, source=_GRANT, customer_id=customer.id))
        posting = Posting(units, "trial_signup", "signup", {"source": customer.source})
        ledger.append(session, customer.id, posting, at=now)
    for day in (0, *core.settings.follow_up_days):
        email = OutboxEmail(
            id=new_id("mail"),
            customer_id=customer.id,
            template="welcome" if day == 0 else f"follow_up_{day}",
            cause="signup",
            due_at=now + day * _DAY_S,
            state="due",
        )
        session.add(email)
