"""API keys: two at once, changed without downtime, gone at once, and shown this once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.billing.conftest import new_tenant
from tests.billing.running import running_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.billing.conftest import Tenant
    from tests.billing.databases import Databases
    from tests.billing.running import Service, Simulator

KEYS = "/api/v1/api-keys"
ROTATE = f"{KEYS}/rotate"


def keys_of(tenant: Tenant) -> list[dict[str, Any]]:
    """List a customer's keys."""
    found: list[dict[str, Any]] = tenant.http.get(KEYS).json()["data"]
    return found


def status_with(tenant: Tenant, api_key: str) -> set[int]:
    """Ask often enough to meet both processes; give the statuses that came."""
    with tenant.service.client(api_key) as http:
        return {http.get(tenant.path).status_code for _ in range(6)}


def rotate(tenant: Tenant, idempotency_key: str, **body: str) -> httpx.Response:
    """Rotate with whatever key the tenant's client sends."""
    return tenant.post(ROTATE, body or None, key=idempotency_key)


def test_two_keys_live_at_once_and_no_third(tenant: Tenant) -> None:
    """A second key opens the same customer, and a third is refused."""
    made = tenant.post(KEYS)
    assert made.status_code == 201
    assert status_with(tenant, made.json()["api_key"]) == {200}
    refused = tenant.post(KEYS)
    assert (refused.status_code, refused.json()["code"]) == (409, "key_limit_reached")
    assert sorted(key["is_current"] for key in keys_of(tenant)) == [False, True]


def test_of_many_keys_asked_for_at_once_one_is_made(tenant: Tenant) -> None:
    """Concurrent requests in two processes cannot get past two live keys."""
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: tenant.post(KEYS).status_code, range(8)))
    assert sorted(statuses) == [201] + [409] * 7
    assert len(keys_of(tenant)) == 2


def test_a_rotated_out_key_ends_at_once_in_every_process(tenant: Tenant) -> None:
    """After the answer to a rotation the old key is a 401 everywhere and the new one works."""
    old = tenant.http.headers["X-API-Key"]
    made = tenant.post(ROTATE)
    assert made.status_code == 201
    assert status_with(tenant, old) == {401}
    assert status_with(tenant, made.json()["api_key"]) == {200}


def test_a_lost_rotation_is_answered_again_to_the_old_key(tenant: Tenant) -> None:
    """The old key gets the new one again by the same idempotency key, and nothing else at all."""
    first = rotate(tenant, "rotation-1")
    again = rotate(tenant, "rotation-1")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert rotate(tenant, "rotation-2").status_code == 401
    assert tenant.post(ROTATE).status_code == 401
    assert tenant.post(KEYS, key="rotation-1").status_code == 401
    assert tenant.http.get(tenant.path).status_code == 401
    with_new = {"X-API-Key": first.json()["api_key"]}
    assert len(tenant.http.get(KEYS, headers=with_new).json()["data"]) == 1


def test_a_rotated_out_key_has_no_other_rotation(tenant: Tenant) -> None:
    """Of two rotations each old key may have its own again, and never the other's."""
    second = tenant.post(KEYS).json()
    first_answer = rotate(tenant, "first").json()
    with tenant.service.client(second["api_key"]) as other:
        headers = {"Idempotency-Key": "second"}
        assert other.post(ROTATE, headers=headers).status_code == 201
        assert other.post(ROTATE, headers={"Idempotency-Key": "first"}).status_code == 401
        assert other.post(ROTATE, headers=headers).headers["Idempotent-Replayed"] == "true"
    assert rotate(tenant, "second").status_code == 401
    assert rotate(tenant, "first").json() == first_answer


@pytest.fixture(scope="module")
def own_time(
    tmp_path_factory: pytest.TempPathFactory, simulator: Simulator, databases: Databases
) -> Iterator[Service]:
    """Run a service whose clock is nobody else's."""
    folder = tmp_path_factory.mktemp("keys")
    url = databases.fresh(folder)
    with running_service(folder, simulator, database_url=url) as found:
        yield found


def test_a_rotation_is_answered_again_for_ten_minutes(own_time: Service) -> None:
    """Ten minutes after the rotation the old key still has its answer; a second later none."""
    with new_tenant(own_time) as tenant, own_time.controls as controls:
        rotate(tenant, "r").raise_for_status()
        now = controls.get("/test/clock").json()["now"]
        controls.post("/test/clock", json={"to": now + 590}).raise_for_status()
        assert rotate(tenant, "r").status_code == 201
        controls.post("/test/clock", json={"to": now + 602}).raise_for_status()
        assert rotate(tenant, "r").status_code == 401


def test_a_key_can_be_replaced_by_its_id(tenant: Tenant) -> None:
    """One of two keys can name the other for rotation and goes on living itself."""
    second = tenant.post(KEYS).json()
    made = rotate(tenant, "by-id", key_id=second["key_id"]).json()
    assert status_with(tenant, second["api_key"]) == {401}
    assert status_with(tenant, made["api_key"]) == {200}
    assert tenant.get()["customer_id"] == tenant.id


def test_a_revoked_key_ends_at_once_and_the_last_one_stays(tenant: Tenant) -> None:
    """A revoked key is a 401 in every process; revoking again changes nothing; one key stays."""
    second = tenant.post(KEYS).json()
    for _ in range(2):
        gone = tenant.http.delete(f"{KEYS}/{second['key_id']}")
        assert (gone.status_code, gone.json()["revoked"]) == (200, True)
    assert status_with(tenant, second["api_key"]) == {401}
    (last,) = keys_of(tenant)
    refused = tenant.http.delete(f"{KEYS}/{last['key_id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_key")
    assert tenant.get()["customer_id"] == tenant.id


def test_anothers_key_is_as_none(tenant: Tenant, other_tenant: Tenant) -> None:
    """Another's key id and nobody's get the same 404 and nothing happens to the key."""
    (theirs,) = keys_of(other_tenant)
    for key_id in (theirs["key_id"], "key_nobody"):
        assert tenant.http.delete(f"{KEYS}/{key_id}").status_code == 404
        assert rotate(tenant, f"k-{key_id}", key_id=key_id).status_code == 404
    assert other_tenant.get()["customer_id"] == other_tenant.id


def test_the_operator_has_no_customers_keys(service: Service) -> None:
    """Keys are a customer's own affair: the operator's key makes, replaces and ends none."""
    with service.operator as operator:
        replies = [
            operator.get(KEYS),
            operator.post(KEYS),
            operator.post(ROTATE),
            operator.delete(f"{KEYS}/key_x"),
        ]
    assert {(r.status_code, r.json()["code"]) for r in replies} == {(403, "customer_key_required")}


def test_a_lost_key_is_shown_again_only_to_who_sent_the_request(tenant: Tenant) -> None:
    """The kept answer opens by the idempotency key, and neither stands readable anywhere."""
    first = tenant.post(KEYS, key="make-one").json()
    assert tenant.post(KEYS, key="make-one").json() == first
    dump = tenant.service.dump()
    logs = "".join(child.log.read_text() for child in tenant.service.children)
    for secret in (first["api_key"], "make-one"):
        assert secret not in dump + logs
        assert secret.encode().hex() not in dump.lower()


def test_the_database_itself_holds_two_keys_at_most(tenant: Tenant) -> None:
    """A third live key is refused by an index, whatever code would write it."""
    tenant.post(KEYS)
    copy = text(
        "INSERT INTO api_keys SELECT 'key_3', customer_id, 'x', created_at, NULL, :slot, NULL"
        " FROM api_keys WHERE customer_id = :customer LIMIT 1"
    )
    for slot in (1, 2, 3):
        with tenant.service.database() as connection, pytest.raises(IntegrityError):
            connection.execute(copy, {"slot": slot, "customer": tenant.id})


def test_a_closed_account_has_no_key_left(tenant: Tenant) -> None:
    """Closing ends both keys."""
    second = tenant.post(KEYS).json()["api_key"]
    assert tenant.http.delete(tenant.path).status_code == 200
    assert status_with(tenant, second) == {401}
