"""Stripe's webhook signatures: made, verified, and forged on purpose.

A signature is the hex HMAC-SHA256, keyed with the endpoint's secret, of the decimal
timestamp, a full stop and the raw body. The header ``Stripe-Signature`` carries the timestamp
and any number of signatures: ``t=1712000000,v1=5257a8…,v1=…,v0=…``. Any matching ``v1``
passes. The rules are those of https://docs.stripe.com/webhooks#verify-manually; where that page
is silent, the official Python package decides, and a test holds the two together.

This module stands on the standard library alone, so that a service which verifies with the
official package and a harness which signs with this one check each other.
"""

import hmac
import time
from collections.abc import Iterable

TOLERANCE_S = 300
"""How old a signature may be by default."""


class SignatureError(ValueError):
    """A webhook's signature does not prove who sent it; the message says why."""


def sign(payload: bytes, secret: str, *, timestamp: int) -> str:
    """Return the hex signature of `payload` at `timestamp` (seconds since 1970).

    >>> sign(b"{}", "whsec_example", timestamp=1712000000)[:16]
    '4b6353c78af285fe'
    """
    return hmac.digest(secret.encode(), b"%d." % timestamp + payload, "sha256").hex()


def compose(timestamp: int | str, signatures: Iterable[tuple[str, str]]) -> str:
    """Return a header that carries these (scheme, signature) pairs, right or wrong.

    >>> compose(12, [("v1", "ab"), ("v0", "cd")])
    't=12,v1=ab,v0=cd'
    """
    return ",".join([f"t={timestamp}", *(f"{scheme}={value}" for scheme, value in signatures)])


def header(payload: bytes, secrets: str | Iterable[str], timestamp: int) -> str:
    """Return a valid ``Stripe-Signature``, with one ``v1`` for each secret.

    While a secret is being rolled, Stripe signs with the old and with the new one.
    """
    keys = [secrets] if isinstance(secrets, str) else secrets
    return compose(timestamp, [("v1", sign(payload, key, timestamp=timestamp)) for key in keys])


def verify(
    payload: bytes,
    signature_header: str | None,
    secret: str,
    *,
    tolerance_s: int = TOLERANCE_S,
    now: float | None = None,
) -> int:
    """Return the timestamp of a valid header; raise `SignatureError` for any other.

    As at Stripe, only age is refused: a timestamp of the future passes. A tolerance of nought
    turns the check of age off. `now` is wall time unless given.
    """
    if not signature_header:
        raise SignatureError("there is no Stripe-Signature header")
    if not secret.strip(" \t\r\n\f\v"):
        raise SignatureError("there is no secret to verify with")
    timestamp, signatures = _parse(signature_header)
    if not signatures:
        raise SignatureError("the header holds no v1 signature")
    _check_match(payload, secret, timestamp, signatures)
    if tolerance_s and timestamp < (time.time() if now is None else now) - tolerance_s:
        raise SignatureError(f"the timestamp {timestamp} is older than {tolerance_s} s")
    return timestamp


def _parse(signature_header: str) -> tuple[int, list[str]]:
    """Read timestamp and v1 signatures; whatever stands after a second "=" is ignored."""
    try:
        items = [item.split("=", 2) for item in signature_header.split(",")]
        # Every "t" must have a value, also those that come after the one that counts.
        timestamps = [item[1] for item in items if item[0] == "t"]
        return int(timestamps[0]), [item[1] for item in items if item[0] == "v1"]
    except (ValueError, IndexError):
        raise SignatureError("the header has no readable timestamp and signatures") from None


def _check_match(payload: bytes, secret: str, timestamp: int, signatures: list[str]) -> None:
    try:
        payload.decode()
        expected = sign(payload, secret, timestamp=timestamp).encode()
    except UnicodeError:
        raise SignatureError("body or secret is not UTF-8") from None
    given = (signature.encode(errors="surrogatepass") for signature in signatures)
    if not any(hmac.compare_digest(expected, candidate) for candidate in given):
        raise SignatureError("no v1 signature matches the body")


def wrong_secret(payload: bytes, secret: str, timestamp: int) -> str:
    """Forge: signed in the right form with a secret that is not the endpoint's."""
    return header(payload, f"{secret}x", timestamp)


def only_v0(payload: bytes, secret: str, timestamp: int) -> str:
    """Forge: the right digest, but under ``v0``, which must not count (a downgrade)."""
    return compose(timestamp, [("v0", sign(payload, secret, timestamp=timestamp))])


def two_v1_one_right(payload: bytes, secret: str, timestamp: int) -> str:
    """Build what a rolled secret gives: a ``v1`` of another secret, then the right one. Valid."""
    return header(payload, [f"{secret}x", secret], timestamp)


def non_ascii(payload: bytes, secret: str, timestamp: int) -> str:
    """Forge: a ``v1`` with a letter outside ASCII, on which careless comparisons raise."""
    return compose(timestamp, [("v1", "é" + sign(payload, secret, timestamp=timestamp)[1:])])


def shifted_timestamp(payload: bytes, secret: str, timestamp: int) -> str:
    """Forge: the digest of an old delivery under a fresh timestamp (a replay made to look new)."""
    return compose(timestamp, [("v1", sign(payload, secret, timestamp=timestamp - 86_400))])
