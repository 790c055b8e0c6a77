"""Card data and secrets that are put in on purpose, and found again however they are written."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

# Stripe's test cards begin so: no card that anybody holds does.
_ISSUER = "400000"
_BETWEEN = r"(?:[\W_]|%20|%2D){0,3}"
CODE_FIELDS = ("cvc", "cvv", "cvc2", "cvv2", "security_code", "card_code")


@dataclass(frozen=True, slots=True)
class Card:
    """A card that nobody holds: its number and its code."""

    number: str
    code: str

    def spellings(self) -> list[str | int]:
        """Give the number as people and programs write it: plain, in groups, as a JSON number."""
        groups = [self.number[place : place + 4] for place in range(0, 16, 4)]
        return [self.number, " ".join(groups), "-".join(groups), int(self.number)]

    def fields(self, number: str | int) -> dict[str, object]:
        """Give it as the fields of a form that asks for a card, its number so spelled."""
        return {
            "card": {"number": number, "cvc": self.code, "exp": "12/34"},
            "card_number": number,
            **dict.fromkeys(CODE_FIELDS, self.code),
        }

    def found_in(self, text: str) -> list[str]:
        """Say what of the card a text holds: its number however grouped, or its code by name."""
        digits = _BETWEEN.join(self.number)
        encoded = base64.b64encode(self.number.encode()).decode().rstrip("=")
        found = []
        if re.search(rf"(?<!\d){digits}(?!\d)", text) or encoded in text:
            found.append("the card number")
        fields = "|".join(CODE_FIELDS)
        between = r"(?:[^A-Za-z0-9]|%[0-9A-Fa-f]{2}){1,12}"
        if re.search(rf"(?i)\b(?:{fields}){between}{self.code}(?!\d)", text):
            found.append("the card code")
        return found

    def mistyped(self) -> Card:
        """Give it with two digits in the middle changed, so that its check digit does not hold."""
        wrong = str((int(self.number[8]) + 1) % 10)
        return Card(self.number[:8] + wrong + self.number[9:], self.code)


def new_card(choices: random.Random) -> Card:
    """Make a card whose check digit holds (ISO/IEC 7812-1, annex B).

    >>> import random
    >>> card = new_card(random.Random(7))
    >>> len(card.number), card.found_in(f"no card {card.spellings()[1]}, sir")
    (16, ['the card number'])
    """
    body = _ISSUER + "".join(str(choices.randrange(10)) for _ in range(9))
    return Card(body + _check_digit(body), f"{choices.randrange(1000, 10000)}")


def _check_digit(body: str) -> str:
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(body)))
    total = sum(number - 9 if number > 9 else number for number in doubled)
    return str(-total % 10)


def holds(text: str, secret: str) -> bool:
    """Whether a text holds a secret, as it is or as programs write it."""
    return any(written in text for written in _written(secret))


def _written(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield secret.encode().hex()
