"""Defects of signatures while a secret is rolled, each beside the service without it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from stripe import WebhookSignature

from tests.billing.running import WEBHOOK_SECRET

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too.
pytestmark = pytest.mark.nightly
NEWEST, OTHER = "whsec_that_was_just_rolled", "whsec_of_somebody_else"
EVENT = {"id": "evt_1", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}


def statuses(shop: Shop, *signers: tuple[str, ...]) -> tuple[int, ...]:
    """Deliver an event under the signatures of these secrets, one delivery each; give statuses."""
    body, now = json.dumps(EVENT, indent=2), int(time.time())
    return tuple(
        shop.deliver(
            EVENT, f"t={now}," + ",".join(_signed(body, now, key) for key in keys)
        ).status_code
        for keys in signers
    )


def _signed(body: str, now: int, secret: str) -> str:
    return f"v1={WebhookSignature._compute_signature(f'{now}.{body}', secret)}"


def test_newest_secret_alone_tried(both: Both) -> None:
    """An event of either active secret is taken, or of the newest alone; one of neither never."""

    def story(shop: Shop) -> tuple[int, ...]:
        return statuses(shop, (NEWEST,), (WEBHOOK_SECRET,), (OTHER,))

    secrets = (SecretStr(NEWEST), SecretStr(WEBHOOK_SECRET))
    found = both("newest-secret-alone-tried", story, stripe_webhook_secrets=secrets)
    assert found == ((200, 200, 400), (200, 400, 400))


def test_first_signature_alone_looked_at(both: Both) -> None:
    """The right signature counts wherever it stands, or in the first place alone."""

    def story(shop: Shop) -> tuple[int, ...]:
        return statuses(shop, (WEBHOOK_SECRET, OTHER), (OTHER, WEBHOOK_SECRET), (OTHER,))

    assert both("first-signature-alone-looked-at", story) == ((200, 200, 400), (200, 400, 400))
