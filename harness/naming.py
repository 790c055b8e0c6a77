"""Names for what tests make: unlike any other run's, and the same choices for the same seed."""

from __future__ import annotations

import hashlib
import itertools
import random
import secrets

_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def new_seed() -> int:
    """Draw a seed for a run that was given none."""
    return secrets.randbelow(2**31)


def new_run_id() -> str:
    """Draw what sets this run's customers apart from every other run's on a shared target."""
    return secrets.token_hex(4)


class Names:
    """One test's source of e-mail addresses, ids and random choices.

    `random` follows from seed and test alone, so a run repeats whatever else runs beside it; the
    run's id goes into names, which must be new on a target that remembers.
    """

    def __init__(self, seed: int, run_id: str, test: str) -> None:
        digest = hashlib.sha256(f"{seed}:{test}".encode()).digest()
        self.random = random.Random(digest)  # noqa: S311 - repeatable by design
        # Letters alone: thirteen figures in a row could read as a card's number. So many that ten
        # thousand sessions do not meet: a sign-up told twice under one name is one customer.
        self._stem = f"{run_id}-{digest.hex()[:12].translate(_LETTERS)}"
        self._numbers = itertools.count(1)

    def new(self, kind: str) -> str:
        """Give a new id, like `usage-1f2e3d4c-hakcpbflgfeo-3`."""
        return f"{kind}-{self._stem}-{next(self._numbers)}"

    def email(self, kind: str = "customer") -> str:
        """Give a new address in a domain that can never receive mail (RFC 2606)."""
        return f"{self.new(kind)}@test.example.com"
