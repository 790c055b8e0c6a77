"""The document that the target keeps to, read once in each process."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from suites.contract.document import document_of

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.target.profile import Profile


@pytest.fixture(scope="session")
def document(ground: Ground) -> dict[str, Any]:
    """Give the target's OpenAPI document; skip where it names none, or nothing could try it."""
    return promised(ground.target.profile)


def promised(profile: Profile) -> dict[str, Any]:
    """Read the document, or skip; raises `Unknown` where there is none to be had."""
    if profile.contract is None:
        pytest.skip("the profile names no [contract], so nothing says what the target promises")
    if find_spec("schemathesis") is None:
        pytest.skip("Schemathesis is not installed: pip install 'billing-harness[contract]'")
    return document_of(profile)
