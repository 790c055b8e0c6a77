"""Identifiers and secrets: how they are made, and what is stored in place of a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from pydantic import SecretStr

_ID_BYTES = 15
_KEY_BYTES = 32
_NONCE_BYTES = 12


def new_id(prefix: str) -> str:
    """Make an identifier that nobody guesses: the prefix and 120 random bits, in base 32."""
    return f"{prefix}_{base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode().lower()}"


def new_api_key() -> str:
    """Make an API key of 256 random bits."""
    return f"bk_{secrets.token_urlsafe(_KEY_BYTES)}"


class Vault:
    """Turns secrets into what may be stored. Its own secret is the setting `key_hmac_secret`."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret.get_secret_value().encode()

    def digest(self, purpose: str, *parts: str | bytes) -> str:
        """Give a keyed hash of `parts`; hashes of different purposes never meet."""
        mac = hmac.new(self._secret, purpose.encode(), hashlib.sha256)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            mac.update(len(raw).to_bytes(8, "big") + raw)
        return mac.hexdigest()

    def derived(self, purpose: str) -> bytes:
        """Give 32 bytes that belong to one purpose and tell nothing of any other."""
        return HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(self._secret)

    def seal(self, plain: bytes, *, idempotency_key: str, record: str) -> bytes:
        """Encrypt an answer under a key that only the holder of the idempotency key can derive."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._sealing_key(idempotency_key, record))
        return nonce + cipher.encrypt(nonce, plain, record.encode())

    def open(self, sealed: bytes, *, idempotency_key: str, record: str) -> bytes:
        """Decrypt what `seal` made; the wrong key raises `cryptography.exceptions.InvalidTag`."""
        cipher = AESGCM(self._sealing_key(idempotency_key, record))
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], record.encode())

    def _sealing_key(self, idempotency_key: str, record: str) -> bytes:
        # Both secrets go in: the database alone, or the database with our secret, opens nothing.
        derive = HKDF(SHA256(), 32, salt=record.encode(), info=b"sealed answer")
        return derive.derive(self._secret + idempotency_key.encode())
