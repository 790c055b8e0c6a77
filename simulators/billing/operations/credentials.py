"""Trades an API key for short-lived credentials, one for each provider that is asked for.

A credential is a JWT (RFC 7519) signed with Ed25519. A provider's gateway checks it by our public
key (RFC 8037, at `/.well-known/jwks.json`), by `aud` (its own name) and by `exp`; so no provider
ever holds what could make one, or sees the API key. Nothing is stored: it ends by itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulators.billing import ledger
from simulators.billing.core import Answer
from simulators.billing.identifiers import new_id
from simulators.billing.operations.accounts import has_billing
from simulators.billing.problems import Rejection, no_billing_info
from simulators.billing.storage.database import locked_customer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulators.billing.core import Core
    from simulators.billing.idempotency import Slot

_PURPOSE = "provider credentials"
_MINUTE_S = 60


def exchange(
    core: Core, customer_id: str, providers: Sequence[str], ttl_minutes: int, slot: Slot
) -> Answer:
    """Give a credential for each provider; refused to a customer for whom no fix could be paid."""
    if not set(providers) <= set(core.settings.credential_providers):
        raise Rejection(403, "provider_not_allowed", "Not every provider named is on offer here.")
    now = core.clock.now()
    expires_at = now + ttl_minutes * _MINUTE_S
    with core.database.write() as session:
        locked_customer(session, customer_id)
        if not ledger.balance(session, customer_id) and not has_billing(session, customer_id):
            raise no_billing_info()
        made = [_credential(core, customer_id, each, now, expires_at) for each in providers]
        return slot.keep(session, Answer(201, {"credentials": made, "expires_at": expires_at}))


def key_set(core: Core) -> dict[str, Any]:
    """Give the public key by which gateways check credentials, as a JWK set (RFC 7517)."""
    public = _public(_signing_key(core))
    key = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": _b64(public)}
    return {"keys": [{**key, "kid": _key_id(public)}]}


def _credential(
    core: Core, customer_id: str, provider: str, now: int, expires_at: int
) -> dict[str, Any]:
    claims = {
        "iss": f"urn:billing:{core.settings.environment}",
        "sub": customer_id,
        "aud": provider,
        "iat": now,
        "exp": expires_at,
        "jti": new_id("cred"),
    }
    return {"provider": provider, "credential": _signed(core, claims), "expires_at": expires_at}


def _signed(core: Core, claims: dict[str, Any]) -> str:
    key = _signing_key(core)
    header = {"alg": "EdDSA", "typ": "JWT", "kid": _key_id(_public(key))}
    text = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{_b64(key.sign(text.encode()))}"


def _signing_key(core: Core) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(core.vault.derived(_PURPOSE))


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:16]


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
