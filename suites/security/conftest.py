"""Every test of this suite comes from an address of its own, so that no other test pays for it.

Services count wrong keys by address: a test that sends many would lock the rest of a run out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.banned import still_let_in
from harness.transport import spare_address
from suites.security.allowances import wrong_keys_of
from suites.security.leftovers import watch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from harness.evidence import LogWatch
    from harness.ground import Ground
    from harness.session import Session
    from suites.security.allowances import Limited


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let nothing pass, and blame nobody, where the target refuses everything by now."""
    try:
        result = yield
    except AssertionError:
        still_let_in(pyfuncitem)
        raise
    still_let_in(pyfuncitem)
    return result


@pytest.fixture
def address(ground: Ground, request: pytest.FixtureRequest) -> str | None:
    """Give the address that the test comes from; None where there is but the run's own."""
    base_url = ground.target.profile.target.base_url
    return spare_address(base_url, f"{ground.plan.run_id} {request.node.nodeid}")


@pytest.fixture
def billing(
    billing: Session, ground: Ground, address: str | None, request: pytest.FixtureRequest
) -> Iterator[Session]:
    """Give a test its hold on the target, from its own address."""
    if address is None:
        yield billing
        return
    with ground.visit(request.node.nodeid, address) as visiting:
        yield visiting


@pytest.fixture
def log(billing: Session, ground: Ground) -> LogWatch:  # noqa: ARG001 - skips come first
    """Give what the target logs from now on."""
    return watch(ground)


@pytest.fixture
def wrong_keys(billing: Session, address: str | None) -> Limited:
    """Give requests with a key that opens nothing, from an address of the test's own."""
    if address is None:
        pytest.skip("wrong keys would lock out the address that every other test comes from")
    return wrong_keys_of(billing)
