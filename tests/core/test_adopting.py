"""The fixtures that adopters take into their own tests, the README's example among them."""

from __future__ import annotations

import http.server
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import stripe
from stripe import StripeClient

from harness.errors import SettingsError, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.adopting import AssertBooksBalance, StripeSimulator
    from simulators.webhooks.adopting import SendWebhook

pytest_plugins = ["simulators.webhooks.adopting"]

README = Path(__file__).parents[2] / "README.md"
SECRET = "whsec_of_a_test"


def charge(client: StripeClient, customer: Any, amount_minor: int) -> list[dict[str, Any]]:
    """Charge a customer as an adopter's code would, and give what it writes down."""
    paid = client.v1.payment_intents.create(
        {
            "amount": amount_minor,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": "pm_card_visa",
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    return [{"provider_id": paid.id, "amount_minor": amount_minor, "currency": "usd"}]


@pytest.fixture
def client(stripe_simulator: StripeSimulator) -> StripeClient:
    """Give the official package, pointed at the simulator."""
    addresses: Any = {"api": stripe_simulator.url}
    return StripeClient(stripe_simulator.api_key, base_addresses=addresses)


def test_the_readmes_example_passes_as_it_is_written(
    stripe_simulator: StripeSimulator, assert_books_balance: AssertBooksBalance
) -> None:
    """The five lines of the README run, with a billing service's own code in their place."""
    (example,) = re.findall(r"```python\n(def test_.*?)```", README.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {
        "StripeClient": StripeClient,
        "my_billing": SimpleNamespace(charge=charge),
    }
    exec(example, names)  # noqa: S102 - the README is ours
    names["test_a_charge_is_on_the_books"](stripe_simulator, assert_books_balance)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"amount_minor": 2899}, r"moved 29\.00 USD, the target's payments say 28\.99 USD"),
        ({"currency": "eur"}, r"moved 29\.00 USD, the target's payments say 29\.00 EUR"),
        ({"provider_id": "ch_of_nobody"}, "the payment provider knows nothing of it"),
    ],
)
def test_books_that_differ_from_stripe_fail_with_the_money(
    client: StripeClient,
    assert_books_balance: AssertBooksBalance,
    wrong: dict[str, Any],
    said: str,
) -> None:
    """A cent, a currency or a charge that is wrong is told as who is out how much."""
    ada = client.v1.customers.create({"email": "ada@example.com"})
    (booked,) = charge(client, ada, 2900)
    with pytest.raises(AssertionError, match=said) as told:
        assert_books_balance(ada.id, payments=[booked | wrong])
    assert ada.id in str(told.value)
    with pytest.raises(AssertionError, match="the target's payments say nothing"):
        assert_books_balance(ada.id, payments=[])


def test_a_ledger_that_does_not_sum_to_its_balance_fails(
    client: StripeClient, assert_books_balance: AssertBooksBalance
) -> None:
    """Units given and taken are the balance; looking at nothing proves nothing."""
    ada = client.v1.customers.create({"email": "ada@example.com"})
    assert_books_balance(ada.id, ledger=[5, -1, -1], balance=3)
    with pytest.raises(AssertionError, match="shows 4 units, the ledger sums to 3"):
        assert_books_balance(ada.id, ledger=[5, -1, -1], balance=4)
    with pytest.raises(Unknown, match="nothing was looked at"):
        assert_books_balance(ada.id)


class Receiver(http.server.BaseHTTPRequestHandler):
    """A webhook route as Stripe's documentation has it."""

    def do_POST(self) -> None:
        """Verify with the official package."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = stripe.Webhook.construct_event(body, self.headers["Stripe-Signature"], SECRET)
        except stripe.SignatureVerificationError:
            self.send_response(400)
        else:
            self.send_response(200)
            self.send_header("X-Customer", event["data"]["object"]["customer"])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def route() -> Iterator[str]:
    """Run the route in a thread."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hooks"
        server.shutdown()
        thread.join()


def test_an_event_is_sent_as_stripe_sends_it(send_webhook: SendWebhook, route: str) -> None:
    """The official package takes it with the right secret, in time, and not otherwise."""
    right = send_webhook(route, "invoice.paid", secret=SECRET, customer="cus_ada")
    assert (right.status_code, right.headers["X-Customer"]) == (200, "cus_ada")
    assert send_webhook(route, "invoice.paid", secret="whsec_wrong").status_code == 400
    assert send_webhook(route, "invoice.paid", secret=SECRET, timestamp=1).status_code == 400
    with pytest.raises(SettingsError, match="no event takes colour"):
        send_webhook(route, "invoice.paid", secret=SECRET, colour="red")
