"""Card numbers and codes: how they are told from other numbers, and taken out of what is kept."""

from __future__ import annotations

import re
from typing import Any

FIELDS = frozenset({"card", "card_number", "number", "pan", "cvc", "cvv", "cvc2", "cvv2"})
_CODES = frozenset({"cvc", "cvv", "cvc2", "cvv2"})
# A number as printed on a card, alone or grouped; never a piece of a longer word such as a UUID.
_NUMBER = re.compile(
    r"(?<![\w-])(?:[2-6]\d{12,18}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -])\d{6}\2\d{4,5})"
    r"(?![\w-])"
)
_REDACTED = "[redacted]"


def has_card_number(text: str) -> bool:
    """Tell whether a text holds a card number whose check digit is right."""
    return any(_passes_luhn(found.group()) for found in _NUMBER.finditer(text))


def without_card_data(value: Any) -> Any:
    """Give a JSON value with its card numbers and codes taken out.

    >>> without_card_data({"id": "cus_1", "metadata": {"cvc": "737", "note": "4242424242424242"}})
    {'id': 'cus_1', 'metadata': {'cvc': '[redacted]', 'note': '[redacted]'}}
    """
    if isinstance(value, dict):
        return {
            name: _REDACTED if name.lower() in _CODES else without_card_data(entry)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [without_card_data(entry) for entry in value]
    if isinstance(value, str):
        return _NUMBER.sub(_redacted, value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _REDACTED if is_number and has_card_number(str(value)) else value


def _redacted(found: re.Match[str]) -> str:
    return _REDACTED if _passes_luhn(found.group()) else found.group()


def _passes_luhn(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0  # noqa: PLR2004  # Luhn's own nine
