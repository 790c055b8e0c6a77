"""Structured logs: a JSON object a line on stderr, with nothing of a customer but the id."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import Processor

# Anything that looks like a secret, a card number or an e-mail address, however it came into a
# message: PostgreSQL quotes the row that it refuses.
_SECRET = re.compile(
    r"\b(?:bk|sk|rk|whsec)_[A-Za-z0-9_-]{8,}|(?<![A-Za-z0-9])\d(?:[ -]?\d){12,18}(?![A-Za-z0-9])"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"
)

_TOLD_ALREADY = "Exception in ASGI application"


def configure(level: str) -> None:
    """Send structured logs to stderr, and what libraries log of warnings and errors with them."""
    shape: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(),
        scrub,
    ]
    rendered = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shape, rendered],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, rendered],
        foreign_pre_chain=shape,
    )
    handler.setFormatter(formatter)
    # Told already, with the request's id, by the handler of what nobody handled.
    handler.addFilter(lambda record: not record.getMessage().startswith(_TOLD_ALREADY))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def scrub(
    _logger: object, _method: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace secrets, card numbers and e-mail addresses, wherever they stand in an entry."""
    for name, value in entry.items():
        if isinstance(value, str):
            entry[name] = _SECRET.sub("[redacted]", value)
    return entry
