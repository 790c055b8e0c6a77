"""The keys that a test sent or was given, and how they are put where they do not belong."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.operations import OPERATIONS
from suites.security.places import tried
from suites.security.tampering import adding, asking
from suites.security.tenants import aimed, attempt, nobodys

if TYPE_CHECKING:
    from harness.session import Session
    from suites.security.tenants import Tenant

KEY_CHARS_MIN = 8


def misuse_keys(billing: Session, tenant: Tenant) -> None:
    """Have requests refused that carry keys: right ones, ended ones, and in wrong places."""
    customer = tenant.customer
    nobody = {name: nobodys(text) for name, text in tenant.ids.items()}
    for operation in aimed(billing, tenant):
        attempt(billing, operation, nobody, customer, "customer")
    for operation in tried(billing, tenant):
        if billing.target.profile.operations[operation].body:
            alter = adding({"api_key": customer.credential})
            attempt(billing, operation, nobody, customer, "customer", alter=alter)
    read = next(name for name in aimed(billing, tenant) if OPERATIONS[name].reads)
    alter = asking("api_key", customer.credential or "")
    attempt(billing, read, tenant.ids, customer, "anonymous", alter=alter)
    _end_a_key(billing, tenant, read)


def _end_a_key(billing: Session, tenant: Tenant, read: str) -> None:
    """Rotate and revoke the second key, and go on using it, where the target has these."""
    key = tenant.ids.get("key")
    for ending in ("rotate_key", "revoke_key"):
        if key and ending in billing.target.operations:
            ended = billing.ok(ending, customer=tenant.customer, key=key)
            key = ended.get("key") or key
            caller = replace(tenant.customer, credential=ended.get("credential"))
            attempt(billing, read, tenant.ids, caller, "customer")


def keys_in_use(billing: Session) -> set[str]:
    """Collect every key that was sent or handed out in this test."""
    profile = billing.target.profile
    named = {name.lower() for auth in profile.auth.values() for name in auth.headers}
    found = {str(record.outcome.get("credential") or "") for record in billing.records}
    for record in billing.records:
        for exchange in record.exchanges:
            for name, value in exchange.call.headers:
                if name.lower() in named | {"authorization"}:
                    found |= {value.rpartition(" ")[2], _password(value)}
    return {key for key in found if len(key) >= KEY_CHARS_MIN}


def _password(header: str) -> str:
    scheme, _, pair = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(pair).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
