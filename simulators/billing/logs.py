"""Structured logs: a JSON object a line on stderr, with nothing of a customer but the id."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# Anything that looks like a secret or a card number, however it came into a message.
_SECRET = re.compile(
    r"\b(?:bk|sk|rk|whsec)_[A-Za-z0-9_-]{8,}|(?<![A-Za-z0-9])\d(?:[ -]?\d){12,18}(?![A-Za-z0-9])"
)


def configure(level: str) -> None:
    """Send structured logs to stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(),
            scrub,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def scrub(
    _logger: object, _method: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace what looks like a secret or a card number, wherever it stands in an entry."""
    for name, value in entry.items():
        if isinstance(value, str):
            entry[name] = _SECRET.sub("[redacted]", value)
    return entry
