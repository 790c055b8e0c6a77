"""What is stored: secrets hashed or sealed, and nothing for everybody on the machine to read.

The rules: OWASP ASVS 5.0, chapters V11, V14 and V16; PCI DSS 4.0.1, 8.3.2.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from suites.e2e.steps import add_card
from suites.security.canaries import holds
from suites.security.keys import keys_in_use, misuse_keys
from suites.security.leftovers import files_at, places_of, stored
from suites.security.tenants import inputs_for, settled_tenant, stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.ground import Ground
    from harness.session import Session

pytestmark = [pytest.mark.requires("create_customer"), pytest.mark.group("data-at-rest")]
WEAK = ("md5", "sha1")


@pytest.mark.requirement("BH-7", "CWE-312", "CWE-522", "ASVS 5.0 V14.2.4", "PCI DSS 8.3.2")
def test_no_secret_is_in_the_database(billing: Session, ground: Ground) -> None:
    """No key, webhook secret or the like can be read in any column of any table."""
    tenant = settled_tenant(billing)
    misuse_keys(billing, tenant)
    secrets = keys_in_use(billing) | {ground.webhook_secret or ""} - {""}
    places = places_of(
        lambda text: ["a secret" for secret in secrets if holds(text, secret)][:1], stored(ground)
    )
    assert not places, f"whoever has the database reads {', '.join(places)}"


@pytest.mark.requirement("CWE-328", "ASVS 5.0 V11.4.1", "PCI DSS 8.3.2")
def test_no_key_is_stored_under_a_broken_hash(billing: Session, ground: Ground) -> None:
    """No key is stored as its MD5 or SHA-1, which nobody should trust any more."""
    settled_tenant(billing)
    digests = {
        hashlib.new(kind, key.encode(), usedforsecurity=False).hexdigest(): kind
        for key in keys_in_use(billing)
        for kind in WEAK
    }
    places = places_of(
        lambda text: sorted({kind for digest, kind in digests.items() if digest in text}),
        stored(ground),
    )
    assert not places, f"keys are stored under a broken hash: {', '.join(places)}"


@pytest.mark.requires("exchange_credentials", "add_payment_method")
@pytest.mark.requirement("BH-7", "CWE-256", "ASVS 5.0 V14.2.2")
def test_a_credential_that_was_handed_out_is_stored_nowhere(
    billing: Session, ground: Ground
) -> None:
    """Credentials made for a customer are in the one answer that hands them out, and nowhere."""
    customer = stranger(billing)
    add_card(billing, customer)
    wishes = inputs_for(billing, "exchange_credentials", {})
    billing.ok("exchange_credentials", customer=customer, **wishes)
    reply = billing.records[-1].exchanges[-1].reply
    words = {text for text in _texts(getattr(reply, "body", b"")) if len(text) > 40}
    if not words:
        pytest.skip("the answer holds no credential that could be looked for")
    places = places_of(
        lambda text: ["a credential" for word in words if word in text][:1], stored(ground)
    )
    assert not places, f"whoever has the database reads {', '.join(places)}"


def _texts(body: bytes) -> Iterator[str]:
    """Give what stands between quotes in an answer."""
    yield from body.decode(errors="replace").split('"')[1::2]


@pytest.mark.requirement("CWE-732", "ASVS 5.0 V16.4.2")
def test_files_of_the_service_are_not_for_everybody(ground: Ground, billing: Session) -> None:
    """No other user of the machine can read the log files, or the file of the database."""
    profile = billing.target.profile
    files = [name for pattern in profile.evidence.log_files for name in files_at(pattern)]
    url = urlsplit(ground.database_url or "")
    if url.scheme.startswith("sqlite") and url.path:
        files.append(Path(url.path[1:]))
    if not files:
        pytest.skip("the profile's [evidence] names no file that could be looked at")
    open_to_all = [file.name for file in files if _readable_by_all(file)]
    assert not open_to_all, f"everybody on the machine can read {', '.join(sorted(open_to_all))}"


def _readable_by_all(file: Path) -> bool:
    """Whether others may read a file and pass every folder above it."""
    if not file.exists() or not file.stat().st_mode & stat.S_IROTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in file.resolve().parents)
