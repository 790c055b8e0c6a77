"""Ids like Stripe's, drawn from a seed so that a run can be repeated."""

import random
import string

_ALPHABET = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits


class Ids:
    """Makes ids; the same seed gives the same ids in the same order."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable, and nothing is guarded

    def new(self, prefix: str, length: int = 24) -> str:
        """Return ``prefix_`` and `length` letters and digits."""
        return f"{prefix}_{self.letters(length)}"

    def letters(self, length: int) -> str:
        """Return `length` letters and digits."""
        return "".join(self._random.choices(_ALPHABET, k=length))

    def upper(self, length: int) -> str:
        """Return `length` capitals and digits, as in an invoice prefix."""
        return "".join(self._random.choices(_UPPER, k=length))
