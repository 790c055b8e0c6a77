"""A hand in the books: what is done to a service's database past the service.

Panels of money that must agree show 0 as long as the service does right. What they show when
something is wrong can only be seen where somebody writes what the service never would.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GAUGED, AUDITED = "reconciler_findings", "credit_transactions"
"""Tables that the gauges' queries read, and an audit's; the first nobody else needs for a while."""
_AGAIN = (
    "INSERT INTO payments (position, id, customer_id, kind, stripe_id, payment_intent,"
    " parent_id, amount_minor, currency, cause, plan, created_at)"
    " SELECT (SELECT MAX(position) + 1 FROM payments), id || '_again', customer_id, kind,"
    " stripe_id || '_again', payment_intent, parent_id, amount_minor, currency, cause, plan, :at_s"
    " FROM payments WHERE stripe_id = :charge"
)


@dataclass(frozen=True, slots=True)
class Hand:
    """Writes into the database of a service that a proof started, and of no other."""

    database_url: str

    def book_again(self, charge: str, at_s: int) -> None:
        """Book a charge a second time, at a moment. Raises `StackError`."""
        self._write(_AGAIN, {"charge": charge, "at_s": at_s})

    @contextlib.contextmanager
    def hiding(self, table: str) -> Iterator[None]:
        """Let queries of a table fail inside. Raises `StackError`."""
        self._write(f"ALTER TABLE {table} RENAME TO {table}_hidden", {})
        try:
            yield
        finally:
            self._write(f"ALTER TABLE {table}_hidden RENAME TO {table}", {})

    def _write(self, statement: str, values: Mapping[str, object]) -> None:
        from sqlalchemy import create_engine, text
        from sqlalchemy.exc import SQLAlchemyError

        engine = create_engine(self.database_url)
        try:
            with engine.begin() as connection:
                connection.execute(text(statement), values)
        except SQLAlchemyError as error:
            raise StackError(f"the books cannot be written: {type(error).__name__}") from None
        finally:
            engine.dispose()
