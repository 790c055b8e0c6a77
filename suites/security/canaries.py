"""Card data and secrets that are put in on purpose, and found again however they are written."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from suites.security.payloads import payloads

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping, Sequence

_BETWEEN = r"(?:[\W_]|%20|%2D){0,3}"
_ALONE = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")
_BASE64_BITS, _BYTE_BITS = 6, 8
CODE_FIELDS = ("cvc", "cvv", "cvc2", "cvv2", "security_code", "card_code")


@dataclass(frozen=True, slots=True)
class Card:
    """A card that nobody holds: its number, its code, and how long its printed groups are."""

    number: str
    code: str
    groups: tuple[int, ...] = (4, 4, 4, 4)

    def spellings(self) -> list[str | int]:
        """Give the number as people and programs write it: plain, in groups, as a JSON number."""
        ends = list(accumulate(self.groups))
        parts = [self.number[end - size : end] for size, end in zip(self.groups, ends, strict=True)]
        return [self.number, " ".join(parts), "-".join(parts), int(self.number)]

    def fields(self, number: str | int) -> dict[str, object]:
        """Give it as the fields of a form that asks for a card, its number so spelled."""
        return {
            "card": {"number": number, "cvc": self.code, "exp": "12/34"},
            "card_number": number,
            **dict.fromkeys(CODE_FIELDS, self.code),
        }

    def found_in(self, text: str) -> list[str]:
        """Say what of the card a text holds: its number however written, or its code by name.

        Written means: with separators or none, percent-encoded, in base64 or hexadecimal, or as a
        hash without a key, from which the number is found by trying all there are.
        """
        found = []
        digits = _BETWEEN.join(self.number)
        encoded = any(form in text for form in self._encoded())
        if encoded or re.search(rf"(?<!\d){digits}(?!\d)", text):
            found.append("the card number")
        if any(digest in text for digest in self._digests()):
            found.append("a hash of the card number without a key")
        fields = "|".join(CODE_FIELDS)
        between = r"(?:[^A-Za-z0-9]|%[0-9A-Fa-f]{2}){1,12}"
        if re.search(rf"(?i)\b(?:{fields}){between}{self.code}(?!\d)", text):
            found.append("the card code")
        return found

    def mistyped(self) -> Card:
        """Give it with two digits in the middle changed, so that its check digit does not hold."""
        wrong = str((int(self.number[8]) + 1) % 10)
        return Card(self.number[:8] + wrong + self.number[9:], self.code, self.groups)

    def _encoded(self) -> Iterator[str]:
        raw = self.number.encode()
        yield raw.hex()
        yield "".join(f"%{byte:02X}" for byte in raw)
        for shift in range(3):
            yield _base64_core(raw, shift)

    def _digests(self) -> Iterator[str]:
        raw = self.number.encode()
        for kind in ("md5", "sha1", "sha256", "sha512"):
            yield hashlib.new(kind, raw, usedforsecurity=False).hexdigest()


def _base64_core(raw: bytes, shift: int) -> str:
    """Give the letters that bytes have in base64 behind `shift` others, whatever those are."""
    text = base64.b64encode(b"\0" * shift + raw).decode()
    first = -(-shift * _BYTE_BITS // _BASE64_BITS)
    return text[first : (shift + len(raw)) * _BYTE_BITS // _BASE64_BITS]


def new_card(choices: random.Random, scheme: str = "visa") -> Card:
    """Make a card of a scheme whose check digit holds (ISO/IEC 7812-1, annex B).

    >>> import random
    >>> card = new_card(random.Random(7))
    >>> len(card.number), card.found_in(f"no card {card.spellings()[1]}, sir")
    (16, ['the card number'])
    """
    told: Mapping[str, object] = next(
        each for each in payloads("cards")["scheme"] if each["name"] == scheme
    )
    groups, prefix = told["groups"], str(told["prefix"])
    assert isinstance(groups, list)
    body = prefix + "".join(
        str(choices.randrange(10)) for _ in range(sum(groups) - len(prefix) - 1)
    )
    # A code of four digits is hardly ever there by chance.
    return Card(body + check_digit(body), f"{choices.randrange(1000, 10000)}", tuple(groups))


def new_cards(choices: random.Random) -> list[Card]:
    """Make a card of each scheme."""
    return [new_card(choices, scheme["name"]) for scheme in payloads("cards")["scheme"]]


def check_digit(body: str) -> str:
    """Give the digit that a number so begun ends with."""
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(body)))
    total = sum(number - 9 if number > 9 else number for number in doubled)
    return str(-total % 10)


def card_numbers_in(text: str) -> list[str]:
    """Find what looks like a card number: alone, as long as an issuer's, with a right check digit.

    >>> card_numbers_in("paid by 4242 4242 4242 4242, at 1700000000000000, order 4242424242424241")
    ['4242424242424242']
    """
    found = (re.sub(r"\D", "", match.group()) for match in _ALONE.finditer(text))
    return [digits for digits in found if _is_issued(digits) and _passes(digits)]


def _passes(digits: str) -> bool:
    return check_digit(digits[:-1]) == digits[-1]


def _is_issued(digits: str) -> bool:
    ranges: Sequence[Mapping[str, object]] = payloads("cards")["range"]
    return any(
        str(each["first"]) <= digits[: len(str(each["first"]))] <= str(each["last"])
        for each in ranges
        if len(digits) in list(each["digits"])  # type: ignore[call-overload]  # TOML's list of numbers
    )


def holds(text: str, secret: str) -> bool:
    """Whether a text holds a secret, as it is or as programs write it."""
    return any(written in text for written in _written(secret))


def _written(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield secret.encode().hex()
