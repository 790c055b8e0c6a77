"""Idempotency keys: one effect, the first answer again, and secrets for nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulators.billing.core import Answer
from simulators.billing.idempotency import Request, Slot, open_slot
from simulators.billing.problems import Problem, Refusal

if TYPE_CHECKING:
    import httpx

    from tests.billing.conftest import Bench, Tenant
    from tests.billing.running import Service

ASKED = Request("cust_1", "POST", "/x", "key-1", b"{}")


def opened(bench: Bench, request: Request = ASKED) -> Slot:
    """Take a slot that is free."""
    slot = open_slot(bench.core, request)
    assert isinstance(slot, Slot)
    return slot


def onboard(service: Service, email: str, key: str) -> httpx.Response:
    """Sign up with a key."""
    with service.client() as anyone:
        return anyone.post(
            "/api/v1/customers/onboard", json={"email": email}, headers={"Idempotency-Key": key}
        )


def test_a_lost_answer_with_a_secret_can_be_had_again(service: Service) -> None:
    """Whoever sent the sign-up gets the API key again, by the same key and body."""
    first = onboard(service, "lost@example.com", "lost-answer")
    again = onboard(service, "lost@example.com", "lost-answer")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers


def test_before_there_is_a_customer_another_body_is_another_request(service: Service) -> None:
    """A sign-up's scope is key and body, so a stranger's equal key reveals nothing."""
    first = onboard(service, "one@example.com", "shared-key").json()
    other = onboard(service, "two@example.com", "shared-key").json()
    assert first["customer_id"] != other["customer_id"]


def test_no_secret_is_in_the_database_or_the_logs(service: Service) -> None:
    """Neither the API key nor the idempotency key can be read by who has all our files."""
    api_key = onboard(service, "secret@example.com", "the-secret-key").json()["api_key"]
    dump = service.dump()
    logs = "".join(child.log.read_text() for child in service.children)
    for secret in (api_key, "the-secret-key"):
        assert secret not in dump
        assert secret.encode().hex() not in dump.lower()
        assert secret not in logs
    assert "secret@example.com" not in logs


def test_the_same_key_with_another_body_is_refused(tenant: Tenant) -> None:
    """A key stands for one request."""
    assert tenant.fix("fix-1", key="k").status_code == 200
    refused = tenant.fix("fix-2", key="k")
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert len(tenant.page("fix-attempts")) == 1


def test_a_key_belongs_to_its_customer_and_its_route(tenant: Tenant, other_tenant: Tenant) -> None:
    """Equal keys of two customers, or on two routes, do not meet."""
    assert "Idempotent-Replayed" not in tenant.fix("fix-1", key="same").headers
    assert "Idempotent-Replayed" not in other_tenant.fix("fix-1", key="same").headers
    body = {"payment_method": "pm_card_visa", "billing_consent": True}
    added = tenant.post(f"{tenant.path}/payment-methods", body, key="same")
    assert added.status_code == 201
    assert "Idempotent-Replayed" not in added.headers


def test_a_refusal_by_the_domain_is_replayed(tenant: Tenant) -> None:
    """The same key gets the same no, even when a new request would now succeed."""
    tenant.use_up()
    first = tenant.fix("fix-1", key="refused")
    tenant.add_card()
    again = tenant.fix("fix-1", key="refused")
    assert (again.status_code, again.json()["code"]) == (402, "no_billing_info")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json()["detail"] == again.json()["detail"]
    assert tenant.fix("fix-1", key="new").status_code == 200


def test_a_schema_refusal_is_not_kept(tenant: Tenant) -> None:
    """A request that was malformed may be corrected under its key."""
    url = "/api/v1/billing/track_fix"
    assert tenant.post(url, {"fix": "fix-1"}, key="typo").json()["code"] == "validation_failed"
    assert tenant.post(url, {"fix_id": "fix-1"}, key="typo").status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_an_odd_key_is_refused(tenant: Tenant, key: str) -> None:
    """A key that cannot be one is told, and nothing is done."""
    headers = {"Idempotency-Key": key}
    refused = tenant.http.post("/api/v1/billing/track_fix", json={"fix_id": "f"}, headers=headers)
    assert refused.status_code == 422
    assert tenant.page("fix-attempts") == []


def test_a_slot_is_released_when_nothing_was_decided(bench: Bench) -> None:
    """After a 503 the same key is free again."""
    opened(bench).release()
    assert opened(bench).is_filled is False


def test_a_slot_in_flight_is_told_so_until_its_lease_is_over(bench: Bench) -> None:
    """A request that died does not block its key for ever."""
    opened(bench)
    with pytest.raises(Problem) as in_flight:
        open_slot(bench.core, ASKED)
    assert in_flight.value.code == "idempotency_key_in_flight"
    bench.pass_time(bench.core.settings.idempotency_lease_s + 1)
    opened(bench)


def test_an_answer_is_kept_a_day_at_least_and_not_for_ever(bench: Bench) -> None:
    """Within a day the answer is replayed; after the time set, the key is new."""
    slot = opened(bench)
    with bench.core.database.write() as session:
        slot.keep(session, Answer(200, {"a": 1}))
    bench.pass_time(24 * 3600)
    assert open_slot(bench.core, ASKED) == Answer(200, {"a": 1})
    bench.pass_time(bench.core.settings.idempotency_keep_s)
    opened(bench)


def test_an_effect_that_rolled_back_kept_no_answer(bench: Bench) -> None:
    """The answer is in the transaction of its effect, so neither is there without the other."""
    slot = opened(bench)

    def effect_that_fails() -> None:
        with bench.core.database.write() as session:
            slot.keep(session, Answer(200, {}))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        effect_that_fails()
    slot.is_filled = False
    slot.release()
    opened(bench)


def test_a_kept_refusal_keeps_what_the_client_needs(bench: Bench) -> None:
    """A refusal is replayed with its extra members."""
    slot = opened(bench)
    slot.keep_refusal(Refusal(402, "authentication_required", "…", client_secret="cs"))
    with pytest.raises(Refusal) as again:
        open_slot(bench.core, ASKED)
    assert again.value.extra == {"client_secret": "cs"}
