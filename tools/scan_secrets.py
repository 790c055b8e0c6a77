"""Finds what must not be committed: secrets, card numbers, paths of a machine, registry hosts.

``python -m tools.scan_secrets`` reads every tracked text file under the current folder. A line that
has to hold such a thing says why, in a comment with ``scan: allow(why)``. Stripe's published test
cards (https://docs.stripe.com/testing) are no card numbers in this sense.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tools.gate import Finding, read_text, run_gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALLOWED = re.compile(r"scan: allow\(\s*\w[^)]*\)")

# Each is written so that it does not match its own text.
PATTERNS = {
    "a live Stripe key": re.compile(r"[rs]k_live_[0-9A-Za-z]{8,}"),
    "a Stripe test key of a real account": re.compile(r"[rs]k_test_5[0-9A-Za-z]{30,}"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{30})"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[0-9A-Za-z-]{10}"),
    "a Slack webhook": re.compile(r"hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{10}"),
    "a path of somebody's machine": re.compile(
        r"(?<![\w./~-])/(?:(?:home|Users)/[a-z][\w.-]*|(?:root|work)/[\w.-]+)"
        r"|\b[A-Z]:\\Users\\\w+"
    ),
    "a package registry's host": re.compile(
        r"\b(?:(?:test\.)?pypi\.org|files\.pythonhosted\.org|registry\.(?:npmjs\.org|yarnpkg\.com)"
        r"|(?:deb|security)\.debian\.org|(?:static\.)?crates\.io|rubygems\.org|proxy\.golang\.org"
        r"|repo\d?\.maven\.(?:apache\.)?org|\w+\.jfrog\.io)\b"
    ),
}

WEBHOOK_SECRET = re.compile(r"whsec_([0-9A-Za-z+/=]{16,})")
ENTROPY_BITS_MIN = 3.5  # of each character: random letters and digits have 4.5, words about 3

# Issuer's digits and length of the networks that Stripe takes.
CARD = re.compile(
    r"(?<![\w.-])(?:4\d{12}(?:\d{3}){0,2}|(?:5[1-5]\d\d|2[2-7]\d\d)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|6(?:011|4[4-9]\d|5\d\d)\d{12}"
    r"|62\d{14,17})(?![\w-]|\.\d)"
)
CARD_GROUPS = re.compile(r"(?<=\d)[ -](?=\d{2})")
TEST_CARDS = frozenset(
    {
        *("4242424242424242", "4100000000000019", "5555555555554444", "2223003122003222"),
        *("5200828282828210", "5105105105105100", "378282246310005", "371449635398431"),
        *("6011111111111117", "6011000990139424", "6011981111111113", "3056930009020004"),
        *("36227206271667", "6555900000604105", "3566002020360505", "6200000000000005"),
        *("6200000000000047", "6205500000000000004"),
    }
)
TEST_RANGE = "40000"  # all of Stripe's other Visa test cards, by country and by outcome


def examine(root: Path, file: str) -> Iterator[Finding]:
    """Yield what a tracked file must not hold; never the thing itself, for logs are public."""
    for number, line in enumerate((read_text(root / file) or "").splitlines(), start=1):
        if not ALLOWED.search(line):
            for what in findings_in(line):
                yield Finding(file, number, f"{what}: remove it, or say why with scan: allow(…)")


def findings_in(line: str) -> Iterator[str]:
    """Yield what one line gives away, in words."""
    for what, pattern in PATTERNS.items():
        if pattern.search(line):
            yield what
    if any(entropy_bits(secret) >= ENTROPY_BITS_MIN for secret in WEBHOOK_SECRET.findall(line)):
        yield "a webhook secret"
    # Spaces and dashes group a number; told apart from a list of numbers only by the checksum.
    for text in {line, CARD_GROUPS.sub("", line)}:
        if any(is_card(number) for number in CARD.findall(text)):
            yield "a card number"
            return


def is_card(number: str) -> bool:
    """Tell whether a number is a card's, and not one of Stripe's test cards."""
    known = number in TEST_CARDS or number.startswith(TEST_RANGE)
    return passes_luhn(number) and not known


def entropy_bits(text: str) -> float:
    """Return Shannon's entropy of each character, in bits.

    >>> entropy_bits("aaaa"), entropy_bits("abcd")
    (0.0, 2.0)
    """
    shares = [count / len(text) for count in Counter(text).values()]
    return sum(share * math.log2(1 / share) for share in shares)


def passes_luhn(digits: str) -> bool:
    """Tell whether a number's check digit is right (ISO/IEC 7812-1).

    >>> passes_luhn("4242424242424242"), passes_luhn("4242424242424241")
    (True, False)
    """
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def main() -> int:
    """Scan the tracked files of the current folder; return the exit status."""
    return run_gate("secrets", lambda _file: True, examine)


if __name__ == "__main__":
    sys.exit(main())
