"""The fixture `send_webhook` for an adopter's own tests, and with it those of the harness.

`pytest_plugins = ["simulators.webhooks.adopting"]` in a conftest loads all of them.
"""

import time
from dataclasses import fields
from typing import Any

import httpx
import pytest

from harness import signing
from harness.errors import SettingsError
from simulators.webhooks.commands.catalogue import find_kind
from simulators.webhooks.commands.composing import compose
from simulators.webhooks.commands.parameters import Parameters
from simulators.webhooks.events import encode_event

pytest_plugins = ["harness.adopting"]
_TIMEOUT_S = 10.0


class SendWebhook:
    """What the fixture `send_webhook` gives: a call that sends one event to any receiver."""

    def __call__(
        self,
        url: str,
        event_type: str,
        *,
        secret: str,
        timestamp: int | None = None,
        **facts: Any,
    ) -> httpx.Response:
        """Send one of Stripe's events, built whole and rightly signed; give the answer.

        `facts` are those of `billing-harness webhooks send EVENT --help`, as names: `customer`,
        `subscription`, `amount_cents`, …. `timestamp` is what is signed (now): an old one is a
        replay. Raises `SettingsError` for what the event does not take, `httpx.HTTPError` where no
        answer comes.
        """
        known = {field.name for field in fields(Parameters)}
        wrong = sorted(set(facts) - known)
        if wrong:
            raise SettingsError(
                f"no event takes {', '.join(wrong)}", hint=f"Known: {', '.join(sorted(known))}."
            )
        now = int(time.time())
        (*_, event) = compose(find_kind(event_type), Parameters(**facts), now)
        body = encode_event(event)
        signed = signing.header(body, [secret], timestamp or now)
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed}
        with httpx.Client(trust_env=False, timeout=_TIMEOUT_S) as client:
            return client.post(url, content=body, headers=headers)


@pytest.fixture
def send_webhook() -> SendWebhook:
    """Give a call that sends one of Stripe's events, as Stripe signs it."""
    return SendWebhook()
