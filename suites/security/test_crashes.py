"""What a service writes down when something breaks in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.errors import Unknown
from harness.target.wire import Reply
from suites.e2e.steps import sign_up

if TYPE_CHECKING:
    from harness.evidence import LogWatch
    from harness.session import Session

BROKEN_FROM = 500


@pytest.mark.requires("create_customer", "record_usage", "arm_failpoint")
@pytest.mark.requirement("BH-7", "CWE-532", "ASVS 5.0 V16.2.5")
@pytest.mark.usefixtures("alone")
def test_a_crash_leaves_no_secret_in_the_log(billing: Session, log: LogWatch) -> None:
    """Where a request breaks the service, nothing of its keys is in what the service logs of it."""
    customer = sign_up(billing)
    secret = customer.credential or pytest.skip("the target gives its customers no credential")
    billing.ok("arm_failpoint", point="usage_before_commit", action="fail")
    usage_id = billing.names.new("usage")
    billing.perform("record_usage", customer=customer, usage_id=usage_id, quantity=1)
    reply = billing.last_reply
    if not isinstance(reply, Reply) or reply.status < BROKEN_FROM:
        raise Unknown("the service did not break where it was told to")
    text = log.text()
    if not text.strip():
        raise Unknown("the log files did not grow: the target seems to log somewhere else")
    assert secret not in text, "whoever reads the log can use the key of a request that broke"
