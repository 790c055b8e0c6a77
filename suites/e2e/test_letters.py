"""E-mails: who is written to, of what, and how often; read where the profile says they end."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from harness.customers import load_states, reach_all, why_not
from harness.evidence import Letter, letters_to
from suites.e2e.steps import settle, sign_up

if TYPE_CHECKING:
    from harness.ground import Ground
    from harness.session import Customer, Session
    from harness.target.profile import LetterKind
    from harness.timeline import Timeline

pytestmark = pytest.mark.requires("create_customer")
STATES = load_states()
SERIES_DAYS = 15
QUIET_S = 0.4
POLL_S = 0.1


class Post:
    """The letters of a test's customers. What comes late is waited for, as long as books are."""

    def __init__(self, billing: Session) -> None:
        self._profile = billing.target.profile
        self._files = self._profile.evidence.mail_files
        if not self._files:
            pytest.skip("the profile names no [evidence] mail_files")

    def of(self, customer: Customer) -> list[Letter]:
        """Give the letters to a customer so far."""
        return letters_to(self._files, [str(customer.email)])

    def known(self, kind: LetterKind, customer: Customer, *, least: int = 1) -> list[Letter]:
        """Give the letters of a kind, once there are so many or it has been waited for them."""
        words = self._profile.evidence.letters.get(kind)
        if words is None:
            pytest.skip(f"the profile does not say by which words a letter of {kind} is known")
        ends_at = time.monotonic() + self._profile.settle_deadline_s
        while len(found := [one for one in self.of(customer) if words in one.subject]) < least:
            if time.monotonic() > ends_at:
                break
            time.sleep(POLL_S)  # between two looks, bounded by the deadline above
        return found

    def quiet(self, *customers: Customer) -> list[list[Letter]]:
        """Give each customer's letters once no more have come for a moment."""
        ends_at = time.monotonic() + self._profile.settle_deadline_s
        quiet_at, before = time.monotonic() + QUIET_S, -1
        while (now := time.monotonic()) < min(quiet_at, ends_at):
            found = [self.of(customer) for customer in customers]
            if sum(map(len, found)) != before:
                quiet_at, before = now + QUIET_S, sum(map(len, found))
            time.sleep(POLL_S)
        return [self.of(customer) for customer in customers]


@pytest.fixture
def post(billing: Session) -> Post:
    """Give a test the letters of its customers."""
    return Post(billing)


def _assert_each_once(letters: list[Letter], whose: str) -> None:
    """See that no letter came twice, and none went to anybody else as well."""
    counts = Counter((one.subject, one.text) for one in letters)
    twice = {subject: count for (subject, _), count in counts.items() if count > 1}
    assert not twice, f"{whose} was written to more than once: {twice}"
    shared = [one.subject for one in letters if len(one.recipients) > 1]
    assert not shared, f"letters to {whose} went to others, too: {shared}"


@pytest.mark.requirement("BH-7", "BH-E2E-LETTERS")
def test_who_signs_up_is_welcomed_once(billing: Session, post: Post) -> None:
    """A new customer gets one welcome, it goes to nobody else, and holds no credential."""
    customers = [sign_up(billing), sign_up(billing)]
    for customer in customers:
        welcomes = post.known("welcome", customer)
        assert len(welcomes) == 1, f"a new customer got {len(welcomes)} welcomes"
    for customer, letters in zip(customers, post.quiet(*customers), strict=True):
        _assert_each_once(letters, "a new customer")
        told = [
            one.subject
            for one in letters
            if customer.credential and customer.credential in one.text
        ]
        assert not told, f"a customer's credential is in the letter {told}"


@pytest.mark.requirement("BH-4", "BH-E2E-LETTERS")
def test_a_sign_up_that_is_refused_writes_to_nobody(billing: Session, post: Post) -> None:
    """Somebody else's attempt to sign up with an address that is taken sends it no letter."""
    customer = sign_up(billing)
    post.known("welcome", customer)
    (before,) = post.quiet(customer)
    billing.refused("create_customer", email=customer.email, name="Eve", source="direct")
    (after,) = post.quiet(customer)
    assert len(after) == len(before), f"a refused sign-up sent {after[-1].subject!r}"


@pytest.mark.requirement("BH-10", "BH-E2E-LETTERS", "BH-E2E-DUNNING")
def test_a_renewal_that_is_not_paid_is_told_to_its_customer_alone(
    billing: Session, clock: Timeline, ground: Ground, post: Post
) -> None:
    """Whose payment failed is told so, once, and whose renewal was paid hears nothing of it."""
    wanted = [STATES["pro_past_due"], STATES["pro_rollover"]]
    for state in wanted:
        if reason := why_not(state, billing.target, can_move_time=True):
            pytest.skip(reason)
    failed, paid = (reached.customer for reached in reach_all(wanted, billing, clock))
    settle(billing, ground)
    told = post.known("payment_failed", failed)
    assert len(told) == 1, f"who was not charged for a renewal was told so {len(told)} times"
    mine, others = post.quiet(failed, paid)
    _assert_each_once(mine, "who could not pay")
    _assert_each_once(others, "who paid")
    wrong = post.known("payment_failed", paid, least=0)
    assert not wrong, "who paid was told that the payment had failed"


@pytest.mark.requires("close_customer")
@pytest.mark.requirement("BH-E2E-LETTERS", "BH-E2E-CLOSING")
def test_letters_end_with_the_account(billing: Session, clock: Timeline, post: Post) -> None:
    """In the weeks after signing up each letter comes once, and none to who has closed."""
    stays, leaves = sign_up(billing), sign_up(billing)
    for customer in (stays, leaves):
        post.known("welcome", customer)
    billing.ok("close_customer", customer=leaves)
    (before,) = post.quiet(leaves)
    for _ in range(2):
        clock.advance(days=SERIES_DAYS / 2)
    to_stays, to_leaves = post.quiet(stays, leaves)
    _assert_each_once(to_stays, "who stayed")
    late = [one.subject for one in to_leaves[len(before) :]]
    assert not late, f"a closed account was written to: {late}"
