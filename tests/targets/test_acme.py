"""Acme over raw HTTP: a correct billing API, and one that is unlike the reference."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
import stripe
from typing_extensions import override

from harness.stack import Child
from harness.stack.ports import reserve, url_of
from harness.stack.webhook import make_endpoint
from tests.targets.acme.books import Books, assign
from tests.targets.acme.cashier import Cashier, Taken
from tests.targets.acme.clerk import Clerk
from tests.targets.acme.contracts import Contracts
from tests.targets.plumbing import Doubt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Row

Value = TypeVar("Value")
DEADLINE_S = 10.0
OPERATOR_PASSWORD = secrets.token_urlsafe(24)
STRIPE_KEY = f"sk_test_{secrets.token_hex(24)}"
VERSION = {"X-Acme-Version": "2026-01"}


@dataclass(frozen=True)
class Town:
    """A running Acme, the Stripe simulator behind it, and the secret that they share."""

    acme: httpx.Client
    stripe: httpx.Client
    webhook_secret: str

    def journal(self, customer: str) -> list[tuple[str, int, str]]:
        """Give the money that Stripe took of a customer: charge, amount, currency."""
        shown = self.stripe.get("/simulator/journal").json()["entries"]
        return sorted(
            (entry["provider_id"], entry["amount_minor"], entry["currency"])
            for entry in shown
            if entry["customer"] == customer and entry["state"] == "succeeded"
        )

    def hook(self, event: dict[str, Any], secret: str | None = None) -> httpx.Response:
        """Send an event to Acme as Stripe does."""
        payload = json.dumps(event)
        sign = stripe.WebhookSignature.generate_signature_header
        signature = sign(payload, secret or self.webhook_secret)
        headers = {"Stripe-Signature": signature}
        return self.acme.post("/hooks/payments", content=payload, headers=headers)


@dataclass(frozen=True)
class Holder:
    """Somebody with an account."""

    town: Town
    path: str
    customer: str
    headers: dict[str, str]

    def get(self, path: str = "", **query: str) -> Any:
        """Read something of the account's."""
        reply = self.town.acme.get(self.path + path, params=query, headers=self.headers)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        """Send a form."""
        return self.town.acme.post(self.path + path, data=form, headers=self.headers)

    def add_card(self, kind: str = "visa") -> httpx.Response:
        """Add one of Stripe's test cards, with consent."""
        form = {"card[token]": f"pm_card_{kind}", "card[terms_accepted]": "true"}
        return self.post("/cards", form)

    def send(self, reference: str, pieces: int = 1) -> Any:
        """Send a parcel, and wait until it is settled."""
        form = {"parcel[reference]": reference, "parcel[pieces]": str(pieces)}
        taken = self.post("/parcels", form)
        assert taken.status_code == 202, taken.text
        return eventually(
            lambda: self.get(f"/parcels/{reference}")["data"],
            lambda parcel: parcel["state"] != "pending",
        )

    def units(self) -> int:
        """Give the units in the wallet."""
        return int(self.get("/wallet")["data"]["units"])

    def payments(self) -> list[tuple[str, int, str]]:
        """Give the payments as the journal tells them."""
        listed = self.get("/payments", limit="100")["items"]
        amounts = [(item["charge"], *item["amount"].values()) for item in listed]
        return sorted((charge, int(value.replace(".", "")), eur) for charge, value, eur in amounts)


def eventually(read: Callable[[], Value], enough: Callable[[Value], bool]) -> Value:
    """Read again until it is enough; fail at the deadline with what was read last."""
    deadline = time.monotonic() + DEADLINE_S
    while not enough(value := read()):
        assert time.monotonic() < deadline, f"not settled in {DEADLINE_S:g} s: {value}"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Run the Stripe simulator and Acme, each as a process of its own."""
    folder = tmp_path_factory.mktemp("acme")
    with ExitStack() as undo:
        at_stripe, at_acme = reserve(0, "the simulator"), reserve(0, "Acme")
        stripe_url, acme_url = url_of(at_stripe), url_of(at_acme)
        port = at_acme.getsockname()[1]
        at_acme.close()
        fd = at_stripe.fileno()
        program = [sys.executable, "-m", "simulators.stripe", "serve", "--fd", str(fd)]
        log = folder / "stripe.log"
        simulator = Child("stripe", program, env=os.environ, log=log, pass_fds=(fd,))
        undo.callback(simulator.stop)
        at_stripe.close()
        simulator.wait_ready(f"{stripe_url}/simulator/ready", DEADLINE_S)
        secret = make_endpoint(stripe_url, STRIPE_KEY, f"{acme_url}/hooks/payments")
        acme = _acme(folder, port, stripe_url, secret)
        undo.callback(acme.stop)
        acme.wait_ready(f"{acme_url}/status", DEADLINE_S)
        to_acme = httpx.Client(base_url=acme_url, headers=VERSION)
        bearer = {"Authorization": f"Bearer {STRIPE_KEY}"}
        to_stripe = httpx.Client(base_url=stripe_url, headers=bearer)
        yield Town(undo.enter_context(to_acme), undo.enter_context(to_stripe), secret)


def _acme(folder: Path, port: int, stripe_url: str, secret: str) -> Child:
    env = {
        **os.environ,
        "ACME_STRIPE_API_BASE": stripe_url,
        "ACME_STRIPE_API_KEY": STRIPE_KEY,
        "ACME_WEBHOOK_SECRET": secret,
        "ACME_OPERATOR_PASSWORD": OPERATOR_PASSWORD,
    }
    program = [sys.executable, "-m", "tests.targets.acme", "--port", str(port)]
    return Child("acme", program, env=env, log=folder / "acme.log")


def open_account(town: Town, email: str | None = None) -> httpx.Response:
    """Ask the operator's side for an account."""
    email = email or f"{uuid.uuid4()}@acme.example"
    form = {"account[contact][email]": email, "account[contact][name]": "Émile"}
    return town.acme.post("/v2/accounts", data=form, auth=("operator", OPERATOR_PASSWORD))


@pytest.fixture
def holder(town: Town) -> Holder:
    """Open an account of this test's own."""
    opened = open_account(town)
    assert opened.status_code == 201, opened.text
    result = opened.json()["result"]
    headers = {"Authorization": f"Bearer {result['access_token']}"}
    return Holder(town, opened.headers["Location"], result["stripe"], headers)


def reason(reply: httpx.Response) -> tuple[int, str]:
    """Give a refusal as status and reason."""
    return reply.status_code, reply.json()["error"]["reason"]


def test_an_account_opens_with_welcome_units_once_for_an_email(town: Town, holder: Holder) -> None:
    """An account starts with three units, told by one entry; its e-mail opens no second one."""
    email = f"{uuid.uuid4()}@acme.example"
    assert open_account(town, email).status_code == 201
    assert reason(open_account(town, email.upper())) == (409, "email_in_use")
    assert holder.get() == {"data": {"tariff": "free", "state": "open"}}
    entries = holder.get("/wallet/entries")
    assert [(e["units"], e["source"]) for e in entries["items"]] == [(3, "welcome")]
    assert entries["total"] == 1


def test_only_the_first_card_brings_units(holder: Holder) -> None:
    """Two units come with the first card, none with the second, and none without consent."""
    unasked = holder.post("/cards", {"card[token]": "pm_card_visa"})
    assert reason(unasked) == (422, "terms_not_accepted")
    assert holder.units() == 3
    first, second = holder.add_card(), holder.add_card("mastercard")
    assert first.headers["Location"] != second.headers["Location"]
    assert holder.units() == 5
    assert holder.get("/cards")["total"] == 2


def test_without_units_and_card_a_parcel_is_rejected_until_there_are(holder: Holder) -> None:
    """A parcel that nothing pays for changes nothing, and may be sent again once it can be paid."""
    assert [holder.send(f"p{n}")["state"] for n in range(3)] == ["covered"] * 3
    blocked = holder.send("p3")
    assert (blocked["state"], blocked["reason"]) == ("rejected", "card_missing")
    assert holder.get("/wallet")["data"]["notice"] == "empty_without_card"
    assert holder.get("/wallet/entries")["total"] == 4
    holder.add_card()
    assert holder.send("p3")["state"] == "covered"
    assert holder.units() == 1


def test_beyond_the_units_each_parcel_is_charged_as_stripe_tells_it(holder: Holder) -> None:
    """Two parcels beyond the units are two charges of the metered price, here and at Stripe."""
    holder.add_card()
    settled = [holder.send(f"p{n}") for n in range(7)]
    assert [parcel["state"] for parcel in settled] == ["covered"] * 5 + ["billed"] * 2
    assert settled[-1]["charged"] == {"value": "12.50", "currency": "eur"}
    assert holder.payments() == holder.town.journal(holder.customer)
    assert [amount for _, amount, _ in holder.payments()] == [1250, 1250]
    assert holder.get()["data"]["tariff"] == "metered"
    newest = holder.get("/wallet/entries", order="newest", per_page="2", page="1")["items"]
    told = [(e["units"], e["balance"], e["source"]) for e in newest]
    assert told == [(-1, 0, "spent"), (1, 1, "bought")]


def test_a_reference_has_one_effect_however_often_it_is_sent(holder: Holder) -> None:
    """Eight requests of one reference, all at once, make one charge; other pieces are refused."""
    holder.add_card()
    holder.send("fill", pieces=5)
    with ThreadPoolExecutor(8) as pool:
        settled = list(pool.map(lambda _: holder.send("same"), range(8)))
    told = {(parcel["state"], parcel["charged"]["value"]) for parcel in settled}
    assert told == {("billed", "12.50")}
    assert len(holder.town.journal(holder.customer)) == len(holder.payments()) == 1
    other = holder.post("/parcels", {"parcel[reference]": "same", "parcel[pieces]": "2"})
    assert reason(other) == (409, "reference_in_use")


def test_a_declined_parcel_moves_nothing_and_can_be_paid_by_another_card(holder: Holder) -> None:
    """After a decline the wallet and the payments stand as before; a good card then pays once."""
    holder.add_card("chargeCustomerFail")
    holder.send("fill", pieces=4)
    declined = holder.send("p", pieces=3)
    assert (declined["state"], declined["reason"]) == ("rejected", "card_declined")
    assert (holder.units(), holder.payments()) == (1, [])
    holder.add_card()
    assert holder.send("p", pieces=3)["charged"]["value"] == "25.00"
    assert holder.units() == 0
    assert holder.payments() == holder.town.journal(holder.customer)
    assert len(holder.payments()) == 1


def test_strangers_see_nothing(town: Town, holder: Holder) -> None:
    """Another's account answers as one that does not exist; a bad token, or no version, says so."""
    stranger = open_account(town).json()["result"]["access_token"]
    headers = {"Authorization": f"Bearer {stranger}"}
    theirs = town.acme.get(f"{holder.path}/wallet", headers=headers)
    nobodys = town.acme.get(f"/v2/accounts/{uuid.uuid4()}/wallet", headers=headers)
    assert reason(theirs) == reason(nobodys) == (404, "not_found")
    assert reason(town.acme.get(holder.path)) == (401, "not_signed_in")
    versionless = town.acme.get(holder.path, headers={**holder.headers, "X-Acme-Version": "1"})
    assert reason(versionless) == (400, "version_unsupported")
    unpaid = town.acme.post("/v2/accounts", auth=("operator", "guess"))
    assert reason(unpaid) == (401, "not_signed_in")


@pytest.mark.parametrize(
    "signature", [None, "", "t=1,v1=00", "v1=00", "t=1,v1=\xe9", "nonsense"], ids=repr
)
def test_an_unsigned_event_is_refused(town: Town, signature: str | None) -> None:
    """No signature, or one that cannot be verified, is refused with 403, whatever its shape."""
    headers = [] if signature is None else [(b"Stripe-Signature", signature.encode("latin-1"))]
    for body in (b'{"object": "event"}', b"\xff\xfe", b""):
        reply = town.acme.post("/hooks/payments", content=body, headers=headers)
        assert reason(reply) == (403, "signature_invalid")


def test_business_units_come_once_from_the_paid_invoice(holder: Holder) -> None:
    """Twenty units come with the paid month, and none with the same events sent again."""
    holder.add_card()
    form = {"contract[tariff]": "business", "contract[seats]": "1"}
    begun = holder.post("/contracts", form)
    assert (begun.status_code, begun.json()["result"]["state"]) == (201, "running")
    assert reason(holder.post("/contracts", form)) == (409, "contract_running")
    assert eventually(holder.units, lambda units: units > 5) == 25
    for event in invoice_events(holder):
        assert holder.town.hook(event).status_code == 202
        again = {**event, "id": f"evt_{uuid.uuid4().hex}"}
        assert holder.town.hook(again, "whsec_wrong").status_code == 403
        assert holder.town.hook(again).status_code == 202
    # The clerk works in order, so what is billed after them comes after their effects.
    assert holder.send("big", pieces=26)["charged"]["value"] == "9.75"
    assert holder.units() == 0
    assert holder.payments() == holder.town.journal(holder.customer)
    assert sorted(amount for _, amount, _ in holder.payments()) == [975, 24000]


def invoice_events(holder: Holder) -> list[dict[str, Any]]:
    """Give the events that told of the account's paid invoices."""
    events = holder.town.stripe.get("/v1/events", params={"limit": 100}).json()["data"]
    return [
        event
        for event in events
        if event["type"] in ("invoice.paid", "invoice.payment_succeeded")
        and event["data"]["object"]["customer"] == holder.customer
    ]


def test_a_renewed_month_keeps_four_units_and_adds_twenty(holder: Holder) -> None:
    """Of the units left at a renewal four stay, the rest lapse; the paid month adds twenty."""
    holder.add_card()
    holder.post("/contracts", {"contract[tariff]": "business"})
    eventually(holder.units, lambda units: units == 25)
    month_later = holder.town.stripe.get("/simulator/clock").json()["now"] + 32 * 86_400
    holder.town.stripe.post("/simulator/clock", json={"to": month_later}).raise_for_status()
    assert eventually(holder.units, lambda units: units != 25) == 24
    newest = holder.get("/wallet/entries", order="newest", per_page="2")["items"]
    assert [(e["units"], e["source"]) for e in newest] == [(20, "tariff_paid"), (-21, "lapsed")]
    assert holder.payments() == holder.town.journal(holder.customer)
    assert [amount for _, amount, _ in holder.payments()] == [24000, 24000]


def test_an_ended_contract_leaves_the_units_and_metered_prices(holder: Holder) -> None:
    """Ending at once returns to metered and keeps the units; ending twice is refused."""
    holder.add_card()
    form = {"contract[tariff]": "business"}
    contract = holder.post("/contracts", form).headers["Location"].removeprefix(holder.path)
    eventually(holder.units, lambda units: units == 25)
    ending = f"{contract}/termination"
    assert holder.post(ending, {"termination[at_term_end]": "true"}).json()["data"]["ends_at"]
    assert holder.get()["data"]["tariff"] == "business"
    ended = holder.post(ending, {"termination[at_term_end]": "false"})
    assert ended.json()["data"]["state"] == "ended"
    assert reason(holder.post(ending, {})) == (409, "contract_ended")
    assert holder.get(contract)["data"]["state"] == "ended"
    assert (holder.units(), holder.get()["data"]["tariff"]) == (25, "metered")


def test_the_operator_adjusts_but_never_below_zero(town: Town, holder: Holder) -> None:
    """Units given and taken are entries of their own; more than there are cannot be taken."""
    url, auth = f"{holder.path}/adjustments", ("operator", OPERATOR_PASSWORD)
    taken = {"adjustment[units]": "-3", "adjustment[reason]": "lost"}
    assert town.acme.post(url, data=taken, auth=auth).status_code == 201
    assert reason(town.acme.post(url, data=taken, auth=auth))[0] == 422
    assert holder.post("/adjustments", taken).status_code == 401
    assert holder.units() == 0


class LossyCashier(Cashier):
    """A cashier whose first charge ends in doubt, after or before it happened."""

    def __init__(self, stripe_url: str, *, happened: bool) -> None:
        super().__init__(stripe_url, STRIPE_KEY)
        self._happened = happened
        self.asked = 0

    @override
    def charge(self, customer: str, parcel: Row) -> Taken:
        self.asked += 1
        if self.asked == 1 and not self._happened:
            raise Doubt(over=True)
        taken = super().charge(customer, parcel)
        if self.asked == 1:
            raise Doubt(over=False)
        return taken


@pytest.mark.parametrize("happened", [True, False])
def test_a_doubtful_charge_is_looked_up_before_it_is_tried_again(
    town: Town,
    happened: bool,  # noqa: FBT001 - pytest gives parameters by name
) -> None:
    """Whether a charge in doubt had happened or not, there is one charge in the end."""
    cashier = LossyCashier(str(town.stripe.base_url), happened=happened)
    account, parcel = str(uuid.uuid4()), str(uuid.uuid4())
    customer = cashier.open_customer(account, "a@acme.example", "A")
    card = cashier.keep_card(customer, "pm_card_visa")
    books = Books(":memory:")
    with books.transaction() as db:
        db.execute(
            "INSERT INTO accounts (id, email, name, stripe_customer, token_hash)"
            " VALUES (?, 'a@acme.example', 'A', ?, 'none')",
            (account, customer),
        )
        db.execute("INSERT INTO cards (id, account) VALUES (?, ?)", (card, account))
        columns = "INSERT INTO parcels (id, account, reference, pieces) VALUES (?, ?, 'p', 1)"
        db.execute(columns, (parcel, account))
        assign(db, "parcel", parcel, due=0.0)
    clerk = Clerk(books, cashier, Contracts(books, cashier))
    clerk.start()
    eventually(lambda: books.one("SELECT 1 FROM parcels WHERE state = 'billed'"), bool)
    clerk.leave()
    assert cashier.asked == (1 if happened else 2)
    paid = books.one("SELECT charge, amount_minor FROM payments")
    assert paid is not None
    assert town.journal(customer) == [(paid["charge"], paid["amount_minor"], "eur")]
