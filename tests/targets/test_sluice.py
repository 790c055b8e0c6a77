"""Sluice's gate opens to signed requests of the last minute, and the class signs them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.targets.sluice import SluiceTarget, signature
from tests.targets.standing import standing_on, with_card

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.ground import Ground
    from harness.session import Session
    from harness.target.wire import Call


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Run Sluice and its simulator once for these tests."""
    with standing_on("tests.targets.sluice:SluiceTarget") as ground:
        yield ground


@pytest.fixture
def sluice(ground: Ground, request: pytest.FixtureRequest) -> Session:
    """Give a test a hold on Sluice."""
    return ground.session(request.node.nodeid)


def test_every_call_of_the_class_opens_the_gate(sluice: Session, ground: Ground) -> None:
    """One operation after the other works, lists page by page too, and the books balance."""
    assert isinstance(ground.target, SluiceTarget)
    customer = with_card(sluice)
    for number in range(3):
        sluice.ok("record_usage", customer=customer, usage_id=f"u{number}", quantity=1)
    entries = sluice.ok("list_ledger", customer=customer)["items"]
    assert [entry["units"] for entry in entries] == [4, 2, -1, -1, -1]


def test_a_request_that_is_not_signed_as_it_came_is_refused(
    sluice: Session, ground: Ground
) -> None:
    """No signature, an old one, one of another secret or of another body opens nothing."""
    customer = with_card(sluice)
    secret = ground.target.profile.auth["partner"].headers["X-Sluice-Secret"]

    def old(call: Call) -> Call:
        at = str(int(time.time()) - 3600)
        signed = signature(secret, at, call.method, call.path, call.body)
        return call.with_header("X-Sluice-Time", at).with_header("X-Sluice-Signature", signed)

    for alter in (
        lambda call: call.without_header("X-Sluice-Signature"),
        lambda call: call.with_header("X-Sluice-Signature", "0" * 64),
        lambda call: call.with_header("X-Sluice-Time", str(int(time.time()) - 5)),
        old,
    ):
        refused = sluice.refused("get_balance", customer=customer, alter=alter)
        assert str(refused.code).endswith("/not-signed")
