"""The payment provider's own record of money moved: the simulator's journal, or Stripe test mode.

Stripe's side is read through its public API (https://docs.stripe.com/api/charges/list and
https://docs.stripe.com/api/refunds/list), so nothing of the target's own is trusted.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from harness.deadline import authorities
from harness.errors import ProviderError, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.target.profile import PaymentProvider

STRIPE_API_BASE = "https://api.stripe.com"
_TIMEOUT_S = 20.0
_WAIT_MAX_S = 300.0  # the simulator waits for no longer in one request
_PAGE_ITEMS = 100
_WRONG_KEY = frozenset({401, 403})
_HINT = "Check [payment_provider] in the profile, and that what it names is running."
_KEY_HINT = "Check the key that `stripe_key_env` names: it has to read charges and refunds."
_SIMULATOR_KEY = "sk_test_harness_reads_events"  # any key of a test will do there
_SIMULATOR_HEADERS = {"Authorization": f"Bearer {_SIMULATOR_KEY}"}
_COPIED = ("amount", "currency", "customer", "payment_method")


@dataclass(frozen=True, slots=True)
class Movement:
    """One attempt to move money. A positive amount goes from the customer to the merchant.

    `idempotency_key` is the simulator's knowledge: Stripe does not tell it. `parts` are the ids of
    balance transactions: a dispute that is won has two, what was taken and what came back.
    """

    type: str
    provider_id: str
    customer: str | None
    amount_minor: int
    currency: str
    state: str
    at: int
    payment_intent: str | None = None
    invoice: str | None = None
    idempotency_key: str | None = None
    failure_code: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Journal:
    """Every movement of some customers, oldest first."""

    movements: tuple[Movement, ...]
    _of: dict[str | None, list[Movement]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Sort by customer once: a load has ten thousand of them."""
        for entry in self.movements:
            self._of.setdefault(entry.customer, []).append(entry)

    def of(self, customer: str | None) -> tuple[Movement, ...]:
        """Give one customer's movements."""
        return tuple(self._of.get(customer, ()))


class Provider(Protocol):
    """Where money truth is read."""

    def journal(self, customers: frozenset[str]) -> Journal:
        """Read the movements of these customers of the provider's. Raises `ProviderError`."""
        ...

    def settle(self, deadline_s: float) -> bool | None:
        """Wait until no webhook is outstanding; None where the provider cannot tell."""
        ...

    def events(self, customer: str, kind: str) -> list[Mapping[str, Any]]:
        """Read the latest events of one type that concern a customer. Raises `ProviderError`."""
        ...


def provider_of(section: PaymentProvider | None) -> Provider | None:
    """Give the provider that a profile names, or None. Raises `ProviderError`."""
    if section is None:
        return None
    if section.simulator:
        return SimulatorProvider(section.simulator)
    if not section.stripe_key_env:
        return None
    key = os.environ.get(section.stripe_key_env)
    if not key:
        raise ProviderError(
            f"the environment variable {section.stripe_key_env} is not set", hint=_KEY_HINT
        )
    if not key.startswith(("sk_test_", "rk_test_")):
        raise ProviderError(
            f"{section.stripe_key_env} is not a key of Stripe's test mode",
            hint="Money is only ever checked against test mode here.",
        )
    return StripeProvider(key)


_RESOURCES = {
    "charges": "/v1/payment_intents*",
    "refunds": "/v1/refunds*",
    "invoices": "/v1/invoices*",
}


class SimulatorProvider:
    """Reads the journal of the Stripe simulator."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    @property
    def url(self) -> str:
        """Its address."""
        return self._url

    def journal(self, customers: frozenset[str]) -> Journal:
        """Read these customers' movements."""
        with _understood(self._url):
            answer = _ask("GET", f"{self._url}/simulator/journal")
            found = [entry for entry in answer["entries"] if entry["customer"] in customers]
            return Journal(tuple(map(_from_journal, found)))

    def settle(self, deadline_s: float) -> bool | None:
        """Wait until every webhook that is due was delivered."""
        url, ends_at = f"{self._url}/simulator/settle", time.monotonic() + deadline_s
        while True:
            left_s = max(0.0, ends_at - time.monotonic())
            wish = {"deadline_s": min(left_s, _WAIT_MAX_S)}
            with _understood(self._url):
                settled = bool(_ask("POST", url, json=wish, timeout_s=_WAIT_MAX_S + 5)["settled"])
            if settled or left_s <= _WAIT_MAX_S:
                return settled

    def period_end(self, customer: str) -> int:
        """Give when the period of a customer's newest subscription ends, in Unix seconds."""
        with _understood(self._url):
            reader = StripeProvider(_SIMULATOR_KEY, self._url)
            (newest, *_) = reader.listed("subscriptions", {"customer": customer})
            return int(newest["items"]["data"][0]["current_period_end"])

    @contextlib.contextmanager
    def fault(self, kind: str, on: str, *, customer: str, **says: Any) -> Iterator[None]:
        """Strike the calls about one customer inside: those of charges, refunds or invoices.

        `kind` and what it `says` besides are the simulator's (`docs/FAULTS.md`). Raises `Unknown`
        where nothing was struck: then nothing was tried.
        """
        wish = {"kind": kind, "path": _RESOURCES[on], "customer": customer, **says}
        with self._struck(wish) as ended:
            yield
        if not ended["hits"]:
            raise Unknown(f"the target made no call of {on} that could be struck")

    @contextlib.contextmanager
    def undelivered(self, customer: str) -> Iterator[None]:
        """Lose every delivery about a customer inside: the test delivers its events itself."""
        with self._struck({"kind": "drop", "customer": customer, "count": 1000}):
            yield

    @contextlib.contextmanager
    def unlisted(self) -> Iterator[None]:
        """Answer 500 to whoever lists events inside, of any customer."""
        events = {"method": "GET", "path": "/v1/events", "effect": "none"}
        with self._struck({"kind": "error", **events, "count": 1000}):
            yield

    def refund(self, charge: Movement) -> None:
        """Give a charge back, as a person does by hand at the provider."""
        with _understood(self._url):
            self._post("refunds", {"charge": charge.provider_id})

    def charge_again(self, charge: Movement) -> None:
        """Take a charge's money once more, as a service does that forgot the first."""
        with _understood(self._url):
            url = f"{self._url}/v1/payment_intents/{charge.payment_intent}"
            intent = _ask("GET", url, headers=_SIMULATOR_HEADERS)
            copied = {name: intent[name] for name in _COPIED}
            told = {f"metadata[{name}]": value for name, value in intent["metadata"].items()}
            again = {"confirm": "true", "off_session": "true"}
            self._post("payment_intents", {**copied, **told, **again})

    def bill_stranger(self, amount_minor: int, currency: str) -> str:
        """Bill somebody whom the target never made, by an invoice of no subscription; give who.

        One account at the provider often serves other business, too.
        """
        with _understood(self._url):
            card = {"payment_method": "pm_card_visa"}
            card["invoice_settings[default_payment_method]"] = "pm_card_visa"
            customer = self._post("customers", card)["id"]
            item = {"customer": customer, "amount": str(amount_minor), "currency": currency}
            self._post("invoiceitems", item)
            invoice = {"customer": customer, "pending_invoice_items_behavior": "include"}
            made = self._post("invoices", invoice)["id"]
            self._post(f"invoices/{made}/finalize", {})
            self._post(f"invoices/{made}/pay", {})
        return str(customer)

    def moved_minor(self, since: int) -> int:
        """Give what the account took of anybody since then, less what went back, in minor units."""
        with _understood(self._url):
            entries = _ask("GET", f"{self._url}/simulator/journal")["entries"]
            real = [e for e in entries if e["type"] != "charge" or e["state"] == "succeeded"]
            return sum(int(entry["amount_minor"]) for entry in real if entry["at"] >= since)

    @contextlib.contextmanager
    def _struck(self, wish: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Have a fault in force inside; how it ended is filled in afterwards."""
        url = f"{self._url}/simulator/faults"
        ended: dict[str, Any] = {}
        with _understood(self._url):
            made = _ask("POST", url, json=wish)["id"]
        try:
            yield ended
        finally:
            with _understood(self._url):
                known = {fault["id"]: fault for fault in _ask("GET", url)["faults"]}
                ended |= known.get(made, {"hits": 0})
                _ask("DELETE", f"{url}/{made}")

    def _post(self, resource: str, form: Mapping[str, str]) -> Any:
        url = f"{self._url}/v1/{resource}"
        return _ask("POST", url, data=form, headers=_SIMULATOR_HEADERS)

    def now(self) -> int:
        """Give the account's time, in Unix seconds."""
        with _understood(self._url):
            return int(_ask("GET", f"{self._url}/simulator/clock")["now"])

    def advance(self, to: int, deadline_s: float) -> bool:
        """Move the account's time on, doing what falls due; tell whether all of it has settled."""
        url = f"{self._url}/simulator/clock"
        with _understood(self._url):
            wish = {"to": to, "deadline_s": min(deadline_s, _WAIT_MAX_S)}
            _ask("POST", url, json=wish, timeout_s=deadline_s + 5)
        return bool(self.settle(deadline_s))

    def events(self, customer: str, kind: str) -> list[Mapping[str, Any]]:
        """Read a customer's events, by Stripe's own API."""
        return StripeProvider(_SIMULATOR_KEY, self._url).events(customer, kind)


class StripeProvider:
    """Reads Stripe's test mode, by a key that may be restricted to reading.

    It needs charges and refunds, invoices (for their payments) and events.
    """

    def __init__(self, key: str, api_base: str = STRIPE_API_BASE) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._base = api_base.rstrip("/")

    def journal(self, customers: frozenset[str]) -> Journal:
        """Read these customers' charges and the refunds of each."""
        found: list[Movement] = []
        with _understood(self._base):
            for customer in sorted(customers):
                for charge in self.listed("charges", {"customer": customer}):
                    found += self._movements(charge)
        return Journal(tuple(sorted(found, key=lambda movement: movement.at)))

    def settle(self, deadline_s: float) -> bool | None:  # noqa: ARG002 - the protocol's argument
        """Tell nothing: Stripe does not say when its webhooks have all arrived."""
        return None

    def events(self, customer: str, kind: str) -> list[Mapping[str, Any]]:
        """Read a customer's events among the last of this type; Stripe keeps them 30 days."""
        with _understood(self._base):
            page = self._page("events", {"type": kind})
            return [e for e in page["data"] if e["data"]["object"].get("customer") == customer]

    def _movements(self, charge: Mapping[str, Any]) -> Iterator[Movement]:
        """Give a charge and its refunds."""
        invoice = self._invoice(charge)
        yield _from_charge(charge, invoice)
        if charge["amount_refunded"]:
            for refund in self.listed("refunds", {"charge": charge["id"]}):
                yield _from_refund(refund, charge, invoice)

    def _invoice(self, charge: Mapping[str, Any]) -> str | None:
        """Find the invoice that a charge paid: `/v1/invoice_payments` alone ties them together."""
        intent = charge.get("payment_intent")
        if not intent:
            return None
        asked = {"payment[type]": "payment_intent", "payment[payment_intent]": intent}
        return next((paid["invoice"] for paid in self.listed("invoice_payments", asked)), None)

    def listed(self, resource: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """Read every object of a kind, newest first, page by page."""
        after: dict[str, str] = {}
        more = True
        while more:
            page = self._page(resource, {**query, **after})
            yield from page["data"]
            more = page["has_more"] and bool(page["data"])
            after = {"starting_after": page["data"][-1]["id"]} if page["data"] else {}

    def _page(self, resource: str, query: Mapping[str, str]) -> Any:
        url = f"{self._base}/v1/{resource}"
        return _ask("GET", url, params={**query, "limit": str(_PAGE_ITEMS)}, headers=self._headers)


@contextlib.contextmanager
def _understood(url: str) -> Iterator[None]:
    """Raise `ProviderError` where an answer is JSON, but not what the provider answers."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ProviderError(
            f"what answers at {url} is not the payment provider ({error!r})", hint=_HINT
        ) from None


def _ask(method: str, url: str, *, timeout_s: float = _TIMEOUT_S, **request: Any) -> Any:
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False, verify=authorities()) as client:
            response = client.request(method, url, **request)
            response.raise_for_status()
            return response.json()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise ProviderError(
            f"the payment provider answered {status} to {method} {url}",
            hint=_KEY_HINT if status in _WRONG_KEY else _HINT,
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        said = str(error) or type(error).__name__
        raise ProviderError(
            f"the payment provider did not answer {method} {url}: {said}", hint=_HINT
        ) from None


def _from_journal(entry: Mapping[str, Any]) -> Movement:
    return Movement(
        type=entry["type"],
        provider_id=entry["provider_id"],
        customer=entry["customer"],
        amount_minor=entry["amount_minor"],
        currency=entry["currency"],
        state=entry["state"],
        at=entry["at"],
        payment_intent=entry.get("payment_intent"),
        invoice=entry.get("invoice"),
        idempotency_key=entry.get("idempotency_key"),
        failure_code=entry.get("failure_code"),
        metadata=entry.get("metadata") or {},
        parts=(entry["id"],) if entry["type"] == "dispute" else (),
    )


def _from_charge(charge: Mapping[str, Any], invoice: str | None) -> Movement:
    return Movement(
        type="charge",
        provider_id=charge["id"],
        customer=charge["customer"],
        amount_minor=charge["amount_captured"] if charge["captured"] else charge["amount"],
        currency=charge["currency"],
        state=charge["status"],
        at=charge["created"],
        payment_intent=charge.get("payment_intent"),
        invoice=invoice,
        failure_code=charge.get("failure_code"),
        metadata=charge.get("metadata") or {},
    )


def _from_refund(
    refund: Mapping[str, Any], charge: Mapping[str, Any], invoice: str | None
) -> Movement:
    return Movement(
        type="refund",
        provider_id=refund["id"],
        customer=charge["customer"],
        amount_minor=-refund["amount"],
        currency=refund["currency"],
        state=refund["status"],
        at=refund["created"],
        payment_intent=refund.get("payment_intent"),
        invoice=invoice,
        metadata=refund.get("metadata") or {},
    )
