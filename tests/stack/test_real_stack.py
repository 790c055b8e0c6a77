"""The stack as users have it: the Stripe simulator and the reference service, several workers."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from harness import signing
from harness.stack import Stack, StackOptions
from tests.stack.processes import driver, eventually, linux_only, marked

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = linux_only


@pytest.fixture
def stack(marker: str) -> Iterator[Stack]:
    """Start the real services, two workers of the billing service among them."""
    assert marker
    with Stack(StackOptions(workers=2, seed=7)) as running:
        yield running


def test_the_services_know_each_other(stack: Stack, marker: str) -> None:
    """The service makes its customers at the simulator, and takes webhooks signed by its secret."""
    addresses = stack.addresses
    with httpx.Client(trust_env=False, timeout=20) as client:
        made = client.post(
            f"{addresses.billing_url}/api/v1/customers/onboard",
            json={"email": "stack@example.com", "name": "Stack", "source": "direct"},
        ).json()
        at_stripe = client.get(
            f"{addresses.stripe_url}/v1/customers/{made['stripe_customer_id']}",
            auth=(addresses.stripe_api_key, ""),
        )
        assert at_stripe.json()["email"] == "stack@example.com"

        told = {"object": {"id": "cus_1", "object": "customer"}}
        event = json.dumps({"id": "evt_1", "type": "customer.updated", "data": told}).encode()
        now = int(time.time())
        for secret, status in ((addresses.webhook_secret, 200), ("whsec_other", 400)):
            header = {"Stripe-Signature": signing.header(event, secret, now)}
            answer = client.post(addresses.webhook_url, content=event, headers=header)
            assert answer.status_code == status, answer.text

    assert stack.dead() == []
    lines = " ".join(marked(marker).values())
    assert len(marked(marker, "simulators.billing serve", "leash.py")) == 2
    assert "--seed 7" in lines
    assert addresses.webhook_secret not in lines
    assert addresses.stripe_api_key not in lines


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_real_services_do_not_outlive_their_parent(how: signal.Signals, marker: str) -> None:
    """A kill -9 and a Ctrl-C of the command leave neither simulator nor service behind."""
    with driver("real") as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["billing_url"]
        assert marked(marker, "simulators.stripe")
        assert marked(marker, "simulators.billing")
        os.killpg(process.pid, how)
        assert process.wait(timeout=30) != 0
        assert eventually(lambda: not marked(marker))
