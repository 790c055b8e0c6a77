"""Who may do what: nobody reaches another tenant's, and nobody sets what is not theirs to set.

The rules: OWASP API Security Top 10 (2023) API1, API2, API3 and API5; OWASP ASVS 5.0 chapter V8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from harness.operations import OPERATIONS
from harness.target.wire import Reply
from suites.e2e.steps import (
    add_card,
    charge_of_next,
    holding,
    paid_minor,
    plan_of,
    told,
    units_of,
    used_up,
)
from suites.security.tampering import adding, asking, saying
from suites.security.tenants import (
    aimed,
    attempt,
    ids_in,
    inputs_for,
    nobodys,
    settled_tenant,
    state_of,
    stranger,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.ground import Ground
    from harness.session import Customer, Session
    from harness.target.protocol import Role
    from suites.security.tenants import Tenant

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("authorisation")]
PRICE_MINOR = 101
PRICES = (
    *("price", "price_minor", "amount", "amount_minor", "unit_price", "unit_amount", "cost"),
    *("overage_minor", "charged_minor", "total", "discount"),
)
UNITS = ("credits", "credit_balance", "balance", "units", "included_units", "bonus")
PLANS = ("plan", "tariff", "tier", "subscription")
MAKES_KEYS = frozenset({"create_customer", "create_key", "rotate_key", "exchange_credentials"})
INNER = re.compile(r"(?i)(secret|passw|digest|hash|salt|internal|_raw$|private|token$)")
OWNERS = ("customer", "customer_id", "account", "account_id", "user", "user_id", "tenant", "owner")
OWNER_HEADERS = ("X-Customer-Id", "X-User-Id", "X-Account-Id", "X-Tenant-Id", "X-On-Behalf-Of")
ROLES: Mapping[str, object] = {"role": "operator", "is_admin": True, "status": "active"}


def _reads(billing: Session, tenant: Tenant) -> list[str]:
    found = [name for name in aimed(billing, tenant) if OPERATIONS[name].reads]
    return found or pytest.skip("no operation that reads names, by an id, whose it reads")


def _writes(billing: Session, tenant: Tenant) -> list[str]:
    found = [name for name in aimed(billing, tenant) if not OPERATIONS[name].reads]
    return found or pytest.skip("no operation that writes names, by an id, whose it changes")


def _reply(billing: Session) -> Reply:
    reply = billing.last_reply
    return reply if isinstance(reply, Reply) else Reply(0)


@pytest.mark.smoke
@pytest.mark.requirement("BH-6", "API1:2023", "CWE-639", "ASVS 5.0 V8.2.2")
def test_nothing_of_another_tenant_is_shown(billing: Session) -> None:
    """Whoever asks for another tenant's things with a key of his own is refused, and shown none."""
    victim, attacker = settled_tenant(billing), stranger(billing)
    marks = {victim.customer.email, victim.customer.provider_customer} - {None}
    for operation in _reads(billing, victim):
        outcome = attempt(billing, operation, victim.ids, attacker)
        assert outcome.kind == "refused", (
            f"{operation} was {outcome}: one tenant was shown what is another's"
        )
        body = _reply(billing).body.decode(errors="replace")
        told_of = [mark for mark in marks if mark and mark in body]
        assert not told_of, (
            f"{operation} was refused, and told another tenant's {told_of} all the same"
        )


@pytest.mark.requirement("BH-4", "BH-6", "API1:2023", "CWE-639", "ASVS 5.0 V8.4.1")
def test_nothing_of_another_tenant_is_changed(billing: Session) -> None:
    """Whoever acts on another tenant's things with a key of his own is refused without effect."""
    victim, attacker = settled_tenant(billing), stranger(billing)
    before = state_of(billing, victim)
    for operation in _writes(billing, victim):
        for ids in _aims(billing, operation, victim, attacker):
            outcome = attempt(billing, operation, ids, attacker)
            assert outcome.kind == "refused", (
                f"{operation} was {outcome}: one tenant did it to what is another's"
            )
    after = state_of(billing, victim)
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"what one tenant was refused changed another's {', '.join(changed)}"


def _aims(
    billing: Session, operation: str, victim: Tenant, attacker: Customer
) -> list[Mapping[str, str]]:
    """Aim at all that is the victim's, and at a thing of the victim's within one's own account."""
    named = ids_in(billing.target.profile.operations[operation])
    if "customer" not in named or named == {"customer"}:
        return [victim.ids]
    return [victim.ids, {**victim.ids, "customer": attacker.id}]


@pytest.mark.smoke
@pytest.mark.requirement("BH-6", "API1:2023", "CWE-204", "CWE-639")
def test_another_tenants_id_is_answered_like_no_id(billing: Session) -> None:
    """Nobody learns from an answer whether an id is another tenant's or no one's at all."""
    victim, attacker = settled_tenant(billing), stranger(billing)
    for operation in aimed(billing, victim):
        named = ids_in(billing.target.profile.operations[operation])
        answers = []
        for turn in (1, 0, 2):  # what changes with time lies between the two of nobody's
            asked = {name: nobodys(victim.ids[name], turn) for name in named}
            attempt(billing, operation, {**victim.ids, **asked}, attacker)
            answers.append(_answer(_reply(billing), asked))
        first, real, second = answers
        telling = {
            place: (first.get(place), real.get(place))
            for place in first.keys() | real.keys()
            if first.get(place) == second.get(place) and first.get(place) != real.get(place)
        }
        assert not telling, (
            f"{operation} tells who is a customer, for no one's and another's id are told {telling}"
        )


def _answer(reply: Reply, asked: Mapping[str, str]) -> dict[str, object]:
    """Give the places of an answer and what stands there, without the ids that were asked for."""
    try:
        content = reply.json()
    except ValueError:
        content = reply.body.decode(errors="replace")
    found: dict[str, object] = {"status": reply.status, "type": reply.header("content-type")}
    places: list[tuple[str, Any]] = [("body", content)]
    while places:
        place, value = places.pop()
        if isinstance(value, dict):
            places += [(f"{place}.{name}", entry) for name, entry in value.items()]
        elif isinstance(value, list):
            places += [(f"{place}[{index}]", entry) for index, entry in enumerate(value)]
        else:
            text = str(value)
            for name, told_id in asked.items():
                text = text.replace(told_id, name)
            found[place] = text
    return found


@pytest.mark.requires("set_plan", "get_customer")
@pytest.mark.requirement("BH-4", "API6:2023", "CWE-841", "ASVS 5.0 V2.3.1")
@pytest.mark.parametrize("card", [None, "pm_card_visa"], ids=["without-card", "with-card"])
def test_a_paid_plan_cannot_be_had_without_paying(
    billing: Session, ground: Ground, card: str | None
) -> None:
    """Asking for the paid plan by another way than subscribing gives it to nobody who paid none."""
    name, plan = plan_of(billing, "pro")
    customer = stranger(billing)
    if card and "add_payment_method" in billing.target.operations:
        add_card(billing, customer, card)
    billing.perform("set_plan", customer=customer, plan=name)
    for operation in ("change_subscription", "resume_subscription"):
        if operation in billing.target.operations and not (
            ids_in(billing.target.profile.operations[operation]) - {"customer"}
        ):
            inputs = inputs_for(billing, operation, {})
            billing.perform(operation, customer=customer, **inputs)
    shown = billing.ok("get_customer", customer=customer).get("plan")
    paid = paid_minor(ground, customer)
    assert shown != name or plan.price_minor in paid, (
        f"a customer has the plan {name} and paid {told(paid, billing)} for it"
    )


def _unasked(billing: Session) -> dict[str, object]:
    """Give fields that are not a customer's to set, each with a value that would be a gain."""
    pro = billing.target.profile.catalog.plan("pro")
    return {
        **dict.fromkeys(PRICES, PRICE_MINOR),
        **dict.fromkeys(UNITS, 1000),
        **dict.fromkeys(PLANS, pro[0] if pro else "pro"),
        **ROLES,
    }


@pytest.mark.requires("add_payment_method", "record_usage", "get_balance")
@pytest.mark.requirement("BH-1", "BH-3", "API3:2023", "CWE-915", "ASVS 5.0 V15.3.3")
def test_fields_that_are_not_the_customers_to_set_change_nothing(billing: Session) -> None:
    """A usage told with a price, units or a plan of the customer's choice is charged as any."""
    customer = used_up(billing)
    charge_of_next(billing, customer)  # whoever is on trial moves on with the first charge
    due = charge_of_next(billing, customer)
    for field, value in _unasked(billing).items():
        outcome = billing.perform(
            "record_usage",
            customer=customer,
            usage_id=billing.names.new("usage"),
            quantity=1,
            alter=adding({field: value}),
        )
        assert outcome.kind != "ok" or outcome.get("charged_minor") == due, (
            f"a customer who sent {field} with a usage was charged"
            f" {told([outcome.get('charged_minor')], billing)}, where"
            f" {told([due], billing)} are due"
        )
        units = units_of(billing, customer)
        assert units == 0, f"a customer who sent {field} with a usage was given {units} units"


@pytest.mark.requires("get_balance")
@pytest.mark.requirement("BH-2", "API3:2023", "CWE-915", "ASVS 5.0 V15.3.3")
def test_nobody_signs_up_with_units_or_a_plan_of_his_choice(billing: Session) -> None:
    """Signing up with fields for plan, units or role gives what signing up always gives."""
    usual = stranger(billing)
    due = _standing(billing, usual)
    fields = [*UNITS, *PLANS, *ROLES]
    for field, value in _unasked(billing).items():
        if field not in fields:
            continue
        outcome = billing.perform(
            "create_customer",
            email=billing.names.email(),
            name="Ada",
            source="direct",
            alter=adding({field: value}),
        )
        if outcome.kind == "ok":
            standing = _standing(billing, billing.customers[-1])
            assert standing == due, (
                f"whoever signs up with the field {field} has {standing}, others have {due}"
            )


def _standing(billing: Session, customer: Customer) -> dict[str, object]:
    standing = holding(billing, customer)
    if "get_customer" in billing.target.operations:
        standing["plan"] = billing.ok("get_customer", customer=customer).get("plan")
    return standing


@pytest.mark.requirement("BH-4", "BH-6", "API5:2023", "CWE-862", "ASVS 5.0 V8.2.1")
@pytest.mark.parametrize("caller", ["customer", "nobody"])
def test_a_customer_cannot_do_what_only_the_operator_may(billing: Session, caller: str) -> None:
    """What is the operator's to do is refused to a customer, and to whoever has no key at all."""
    tenant = settled_tenant(billing)
    kept = _kept_from_customers(billing, tenant)
    before = state_of(billing, tenant)
    for operation in kept:
        role: Role = "other_tenant" if caller == "customer" else "anonymous"
        outcome = attempt(billing, operation, tenant.ids, tenant.customer, role)
        assert outcome.kind == "refused", (
            f"{operation} was {outcome} for a {caller}: only the operator may do it"
        )
    after = state_of(billing, tenant)
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"what a {caller} was refused changed the {', '.join(changed)}"


def _kept_from_customers(billing: Session, tenant: Tenant) -> list[str]:
    """Name the operations that somebody other than a customer does, about a customer or not."""
    found = [
        name
        for name, mapping in billing.target.profile.operations.items()
        if mapping.role not in {None, "customer", "anonymous"}
        and name not in {"advance_time", "drain", "arm_failpoint"}
        and ids_in(mapping) <= tenant.ids.keys()
    ]
    return found or pytest.skip("the profile has no operation that only the operator does")


@pytest.mark.requirement("CWE-213", "ASVS 5.0 V8.2.3", "ASVS 5.0 V15.3.1")
def test_no_answer_shows_an_inner_field(billing: Session) -> None:
    """Nothing that a customer reads has a field of hashes, secrets or inner notes in it."""
    tenant = settled_tenant(billing)
    state_of(billing, tenant)
    for record in billing.records:
        for exchange in record.exchanges:
            reply = exchange.reply
            if record.operation in MAKES_KEYS or not isinstance(reply, Reply):
                continue
            shown = {place.rpartition(".")[2] for place in _answer(reply, {})}
            inner = sorted(name for name in shown if INNER.search(name))
            assert not inner, (
                f"{record.operation} shows customers the field {inner[0]}, which is nobody's"
                " business outside the service"
            )


@pytest.mark.requires("get_balance")
@pytest.mark.requirement("BH-6", "CWE-235", "ASVS 5.0 V15.3.7", "API1:2023")
def test_a_customer_named_twice_is_the_callers_own(billing: Session) -> None:
    """Naming another tenant beside oneself, in the query or a header, shows nothing of theirs."""
    victim, attacker = settled_tenant(billing), stranger(billing)
    own = units_of(billing, attacker)
    marks = {victim.customer.id, victim.customer.email, victim.customer.provider_customer} - {None}
    for alter in (
        *(asking(name, victim.customer.id) for name in OWNERS),
        *(saying(name, victim.customer.id) for name in OWNER_HEADERS),
    ):
        outcome = billing.perform("get_balance", customer=attacker, alter=alter)
        text = _reply(billing).body.decode(errors="replace")
        assert not any(mark and mark in text for mark in marks), (
            "whoever names another customer beside himself is shown what is theirs"
        )
        assert outcome.kind != "ok" or outcome.get("units") == own, (
            f"whoever names another customer beside himself is shown {outcome.get('units')} units"
        )
