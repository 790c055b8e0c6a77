"""Short-lived credentials: signed for one provider, for who could pay, and never for long."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    import httpx

    from tests.billing.conftest import Tenant
    from tests.billing.running import Service

URL = "/api/v1/credentials/exchange"


def exchange(tenant: Tenant, *, key: str | None = None, **body: object) -> httpx.Response:
    """Trade the customer's key."""
    return tenant.post(URL, {"providers": ["github"]} | body, key=key)


def raw(text: str) -> bytes:
    """Decode base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def checked(service: Service, credential: str) -> dict[str, Any]:
    """Check a credential as a provider's gateway would, and give its claims."""
    header, claims, signature = credential.split(".")
    with service.client() as anyone:
        (key,) = anyone.get("/.well-known/jwks.json").json()["keys"]
    told = json.loads(raw(header))
    assert (told["alg"], told["kid"]) == ("EdDSA", key["kid"])
    public = Ed25519PublicKey.from_public_bytes(raw(key["x"]))
    public.verify(raw(signature), f"{header}.{claims}".encode())
    found: dict[str, Any] = json.loads(raw(claims))
    return found


def test_a_key_is_traded_for_a_credential_of_each_provider(tenant: Tenant) -> None:
    """Each credential is signed, names its customer and its one provider, and ends in time."""
    reply = exchange(tenant, providers=["github", "openai"], ttl_minutes=30)
    assert reply.status_code == 201
    for made in reply.json()["credentials"]:
        claims = checked(tenant.service, made["credential"])
        assert (claims["sub"], claims["aud"]) == (tenant.id, made["provider"])
        assert claims["exp"] - claims["iat"] == 30 * 60
        assert claims["exp"] == made["expires_at"] == reply.json()["expires_at"]
    assert tenant.http.headers["X-API-Key"] not in reply.text


def test_a_credential_that_was_changed_is_worthless(tenant: Tenant) -> None:
    """Another customer's name under the same signature does not pass."""
    credential = exchange(tenant).json()["credentials"][0]["credential"]
    header, claims, signature = credential.split(".")
    forged = raw(claims).replace(tenant.id.encode(), b"cust_" + b"a" * (len(tenant.id) - 5))
    text = base64.urlsafe_b64encode(forged).decode().rstrip("=")
    with pytest.raises(InvalidSignature):
        checked(tenant.service, f"{header}.{text}.{signature}")


@pytest.mark.parametrize(
    "body",
    [
        {"ttl_minutes": 241},
        {"ttl_minutes": 0},
        {"ttl_minutes": -5},
        {"ttl_minutes": "60"},
        {"providers": []},
        {"providers": ["github", "github"]},
        {"providers": "github"},
        {"providers": [None]},
        {"scope": "everything"},
    ],
)
def test_four_hours_are_the_most(tenant: Tenant, body: dict[str, object]) -> None:
    """Longer, shorter than a minute, or for nobody: refused."""
    refused = tenant.post(URL, {"providers": ["github"]} | body)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    assert exchange(tenant, ttl_minutes=240).status_code == 201


def test_an_unknown_provider_is_refused(tenant: Tenant) -> None:
    """One name that is not on offer refuses the whole exchange."""
    refused = exchange(tenant, providers=["github", "elsewhere"])
    assert (refused.status_code, refused.json()["code"]) == (403, "provider_not_allowed")


def test_who_could_pay_no_fix_gets_no_credential(tenant: Tenant) -> None:
    """Without credits and card it is a 402; a card is enough."""
    tenant.use_up()
    refused = exchange(tenant)
    assert (refused.status_code, refused.json()["code"]) == (402, "no_billing_info")
    tenant.add_card()
    tenant.use_up()
    assert exchange(tenant).status_code == 201


def test_the_operator_and_strangers_get_none(service: Service) -> None:
    """It is a customer's own key that is traded."""
    body = {"providers": ["github"]}
    with service.operator as operator, service.client() as anyone:
        refused = operator.post(URL, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "customer_key_required")
        assert anyone.post(URL, json=body).status_code == 401


def test_a_lost_credential_can_be_had_again_and_is_readable_nowhere(tenant: Tenant) -> None:
    """The same idempotency key gives the same credentials, which are stored sealed."""
    first = exchange(tenant, key="lost")
    again = exchange(tenant, key="lost")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    credential = first.json()["credentials"][0]["credential"]
    assert exchange(tenant).json()["credentials"][0]["credential"] != credential
    files = tenant.service.database_file.parent.glob("billing*")
    assert all(credential.encode() not in file.read_bytes() for file in files if file.is_file())
