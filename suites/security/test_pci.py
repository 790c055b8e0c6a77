"""Card data that a client sends by mistake stays nowhere: only the provider's ids of cards do.

A card that nobody holds is written into every place of every operation's request, then looked for.
The rules: PCI DSS 4.0.1, requirements 3 and 6; OWASP ASVS 5.0, chapters V14 and V16.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from harness import signing
from harness.errors import Unknown
from harness.scrape import scrape
from harness.target.wire import Reply
from simulators.webhooks.events import Cause, build_event, encode_event
from suites.security.canaries import Card, card_numbers_in, holds, new_card, new_cards
from suites.security.leftovers import files_at, logged, places_of, stored, watch
from suites.security.places import places, seen, tried, write
from suites.security.tampering import adding, sending
from suites.security.tenants import attempt, inputs_for, settled_tenant, state_of

if TYPE_CHECKING:
    from harness.evidence import LogWatch
    from harness.ground import Ground
    from harness.session import Session
    from suites.security.tenants import Tenant

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("pci")]
ERRORS_FROM = 400
TOO_MANY = 429
STRIPES = ("pm_", "card_", "src_", "ba_", "pi_", "seti_")


@dataclass(slots=True)
class Sent:
    """Cards that were sent, what was answered, and what was watched meanwhile."""

    tenant: Tenant
    cards: list[Card]
    log: LogWatch | None
    answers: list[tuple[str, str]] = field(default_factory=list)

    def found_in(self, text: str) -> list[str]:
        """Say what of the cards a text holds."""
        return sorted({what for card in self.cards for what in card.found_in(text)})


@pytest.fixture(scope="session")
def sent_before() -> list[Sent]:
    """Remember what was sent: it takes many requests, and serves several tests."""
    return []


@pytest.fixture
def sent(billing: Session, ground: Ground, sent_before: list[Sent]) -> Sent:
    """Send a card of each scheme, in every spelling, into every place that there is."""
    if not sent_before:
        has_logs = bool(ground.target.profile.evidence.log_files)
        log = watch(ground) if has_logs else None
        cards = new_cards(billing.names.random)
        made = Sent(settled_tenant(billing), cards, log)
        _into_every_place(billing, made)
        _into_forms(billing, made)
        _into_webhooks(billing, ground, made)
        sent_before.append(made)
    return sent_before[0]


def _keep(billing: Session, sent: Sent, where: str) -> None:
    reply = billing.last_reply
    if not isinstance(reply, Reply):
        return
    if reply.status == TOO_MANY:
        raise Unknown("a limit ended the requests before card data was sent everywhere")
    sent.answers.append((where, seen(reply)))


def _into_every_place(billing: Session, sent: Sent) -> None:
    for number, place in enumerate(places(billing, sent.tenant)):
        for spelling in range(4):
            card = sent.cards[(number + spelling) % len(sent.cards)]
            write(billing, sent.tenant, place, card.spellings()[spelling])
            _keep(billing, sent, str(place))


def _into_forms(billing: Session, sent: Sent) -> None:
    """Send a whole card beside the fields that an operation takes."""
    customer = sent.tenant.customer
    for number, operation in enumerate(tried(billing, sent.tenant)):
        if billing.target.profile.operations[operation].body:
            card = sent.cards[number % len(sent.cards)]
            alter = adding(card.fields(card.spellings()[number % 4]))
            attempt(billing, operation, sent.tenant.ids, customer, "customer", alter=alter)
            _keep(billing, sent, f"further fields of {operation}")


def _into_webhooks(billing: Session, ground: Ground, sent: Sent) -> None:
    """Send events with a card in them, one signed as Stripe does and one not."""
    if not ground.webhook_secret:
        return
    for secret in (ground.webhook_secret, f"{ground.webhook_secret}x"):
        card = sent.cards[0]
        about = {
            "id": sent.tenant.customer.provider_customer,
            "object": "customer",
            "description": f"paid by {card.spellings()[1]}",
            "metadata": {"card_number": card.number, "cvc": card.code},
        }
        event = build_event(
            "customer.updated",
            about,
            event_id=billing.names.new("evt"),
            created=int(time.time()),
            api_version="2025-03-31.basil",
            cause=Cause(),
            previous_attributes={"metadata": {}},
        )
        body = encode_event(event)
        header = signing.header(body, secret, int(time.time()))
        headers = (("Stripe-Signature", header),)
        billing.perform("receive_webhook", payload=body, signature_headers=headers)
        _keep(billing, sent, "the body of receive_webhook")


@pytest.mark.requirement("BH-7", "CWE-532", "ASVS 5.0 V16.2.5", "PCI DSS 3.3.1", "PCI DSS 3.5.1")
def test_no_card_data_reaches_a_log(sent: Sent) -> None:
    """A card number or code that a client sends by mistake, however spelled, is never logged."""
    if sent.log is None:
        pytest.skip("the profile names no log_files under [evidence]")
    found = sent.found_in(logged(sent.log))
    assert not found, f"whoever reads the logs sees {' and '.join(found)} that a client sent"


@pytest.mark.requirement("BH-7", "CWE-312", "PCI DSS 3.3.1.2", "PCI DSS 3.5.1", "PCI DSS 3.5.1.1")
def test_no_card_data_reaches_the_database(sent: Sent, ground: Ground) -> None:
    """No card number, code or plain hash of one is stored: not in a record, an e-mail, an event."""
    found = places_of(sent.found_in, stored(ground))
    assert not found, f"whoever has the database reads {', '.join(found)}"


@pytest.mark.requirement("BH-7", "CWE-200", "PCI DSS 3.5.1")
def test_no_card_data_is_in_a_metric(sent: Sent, ground: Ground) -> None:
    """No card data is in a metric's name or label, which everybody on the team can see."""
    metrics = ground.target.profile.evidence.metrics
    if metrics is None:
        pytest.skip("the profile names no [evidence.metrics]")
    samples = scrape(metrics).samples
    found = sent.found_in("\n".join(f"{sample.name} {sample.labels}" for sample in samples))
    assert not found, f"whoever sees the metrics sees {' and '.join(found)} that a client sent"


@pytest.mark.requirement("BH-7", "CWE-359", "PCI DSS 4.2.2")
def test_no_card_data_is_in_a_letter(sent: Sent, ground: Ground) -> None:
    """No letter to a customer or anybody else has card data in it."""
    patterns = ground.target.profile.evidence.mail_files
    if not patterns:
        pytest.skip("the profile names no mail_files under [evidence]")
    letters = [file.read_text("utf-8", "replace") for p in patterns for file in files_at(p)]
    found = sent.found_in("\n".join(letters))
    assert not found, f"letters have {' and '.join(found)} in them that a client sent"


@pytest.mark.requirement("BH-7", "CWE-200", "ASVS 5.0 V14.2.6", "PCI DSS 3.4.1")
def test_no_answer_shows_card_data(billing: Session, sent: Sent) -> None:
    """Neither the answer to a card number that was sent nor anything read later shows it."""
    shown = {where: found for where, text in sent.answers if (found := sent.found_in(text))}
    assert not shown, f"answers repeat card data that was sent: {shown}"
    state_of(billing, sent.tenant)
    for record in billing.records:
        for exchange in record.exchanges:
            if isinstance(exchange.reply, Reply):
                found = sent.found_in(seen(exchange.reply))
                assert not found, f"{record.operation} shows {' and '.join(found)} sent before"


@pytest.mark.requirement("BH-7", "CWE-209", "ASVS 5.0 V16.5.1", "PCI DSS 3.5.1")
def test_an_error_repeats_nothing_of_the_input(billing: Session) -> None:
    """A refusal repeats neither a card number, mistyped or not, nor a key sent in a wrong place."""
    card = new_card(billing.names.random)
    tenant = settled_tenant(billing)
    key = tenant.customer.credential or ""
    wrong = card.mistyped()
    written = [
        name for name in tried(billing, tenant) if billing.target.profile.operations[name].body
    ]
    for operation in written:
        words = inputs_for(billing, operation, {})
        texts = [name for name, value in words.items() if isinstance(value, str)]
        for text in (*wrong.spellings(), card.number, key):
            said = dict.fromkeys(texts, text)
            if text == key:
                said.pop("usage_id", None)  # it would be taken, and is in ledgers ever after
            attempt(billing, operation, tenant.ids, tenant.customer, "customer", said=said)
            _assert_repeats_nothing(billing, operation, (card, wrong), key)
        alter = sending(f'{{"card_number": "{wrong.number}", "key": "{key}'.encode())
        attempt(billing, operation, tenant.ids, tenant.customer, "customer", alter=alter)
        _assert_repeats_nothing(billing, operation, (card, wrong), key)


def _assert_repeats_nothing(
    billing: Session, operation: str, cards: tuple[Card, ...], key: str
) -> None:
    reply = billing.last_reply
    if not isinstance(reply, Reply) or reply.status < ERRORS_FROM:
        return
    body = seen(reply)
    found = [what for card in cards for what in card.found_in(body)]
    if key and holds(body, key):
        found.append("a key")
    assert not found, (
        f"{operation} was refused with {reply.status}, and the error repeats {found[0]}:"
        " it ends in the logs of whoever called"
    )


@pytest.mark.requires("add_payment_method")
@pytest.mark.requirement("BH-7", "CWE-359", "PCI DSS 3.2.1", "PCI DSS 3.5.1")
def test_only_the_providers_ids_of_cards_are_kept(billing: Session, ground: Ground) -> None:
    """A payment method is kept by the provider's id; nothing stored looks like a card number."""
    tenant = settled_tenant(billing)
    kept = tenant.ids.get("payment_method")
    assert kept is None or kept.startswith(STRIPES), (
        f"a payment method is known as {kept!r}, which is no id of the payment provider's"
    )
    found = places_of(lambda text: card_numbers_in(text)[:1], stored(ground))
    tables = sorted({place.rpartition(" in ")[2] for place in found})
    assert not tables, f"what looks like a card number is stored in {', '.join(tables)}"


@pytest.mark.requirement("BH-7", "CWE-201", "ASVS 5.0 V14.2.3")
def test_no_token_of_a_card_is_shown_to_another(billing: Session, sent: Sent) -> None:
    """What the provider calls a customer and their card is in no answer to somebody else."""
    marks = {sent.tenant.ids.get("payment_method"), sent.tenant.customer.provider_customer}
    marks -= {None}
    if not marks:
        pytest.skip("the target tells neither the provider's customer nor a payment method")
    begun = len(billing.records)
    other = settled_tenant(billing)
    state_of(billing, other)
    for record in billing.records[begun:]:
        for exchange in record.exchanges:
            if isinstance(exchange.reply, Reply):
                text = seen(exchange.reply)
                assert not any(mark and mark in text for mark in marks), (
                    f"{record.operation} shows one customer what the provider calls another"
                )
