"""API keys: at most two live ones for each customer, so that a change needs no downtime.

A key is shown once and kept as a keyed hash. A rotation revokes the old key in the transaction that
makes the new one; should its answer be lost, the old key may have that one answer again for a
while, and is worth nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from simulators.billing.core import Answer
from simulators.billing.identifiers import new_api_key, new_id
from simulators.billing.problems import Refusal, not_found
from simulators.billing.storage.database import locked_customer
from simulators.billing.storage.tables import ApiKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.idempotency import Slot

ROTATE_PATH = "/api/v1/api-keys/rotate"
_REPLAY_S = 600
_PLACES = (1, 2)


def listing(core: Core, customer_id: str, current: str) -> Answer:
    """List the live keys, oldest first; of the keys themselves nothing can be shown any more."""
    with core.database.read() as session:
        rows = _live(session, customer_id)
    data = [
        {"key_id": row.id, "created_at": row.created_at, "is_current": row.id == current}
        for row in rows
    ]
    return Answer(200, {"data": data})


def create(core: Core, customer_id: str, slot: Slot) -> Answer:
    """Make a second key."""
    with core.database.write() as session:
        locked_customer(session, customer_id)
        taken = {row.slot for row in _live(session, customer_id)}
        place = next((each for each in _PLACES if each not in taken), None)
        if place is None:
            raise Refusal(409, "key_limit_reached", "There are two live keys already; revoke one.")
        return slot.keep(session, _made(core, session, customer_id, place))


def rotate(core: Core, customer_id: str, key_id: str, slot: Slot) -> Answer:
    """Put a new key in the place of an old one, which ends at once."""
    with core.database.write() as session:
        locked_customer(session, customer_id)
        old = next((row for row in _live(session, customer_id) if row.id == key_id), None)
        if old is None:
            raise not_found()
        old.revoked_at = core.clock.now()
        old.rotated_by = slot.scope or None
        session.flush()
        return slot.keep(session, _made(core, session, customer_id, old.slot))


def revoke(core: Core, customer_id: str, key_id: str) -> Answer:
    """End a key; the last one stays, for nobody could make another."""
    with core.database.write() as session:
        locked_customer(session, customer_id)
        row = session.get(ApiKey, key_id)
        if row is None or row.customer_id != customer_id:
            raise not_found()
        if row.revoked_at is None:
            if len(_live(session, customer_id)) == 1:
                raise Refusal(409, "last_key", "The last key stays; rotate it instead.")
            row.revoked_at = core.clock.now()
    return Answer(200, {"key_id": key_id, "revoked": True})


def may_still_replay(row: ApiKey, now: int) -> bool:
    """Tell whether a revoked key may still ask again for the answer to its own rotation."""
    if row.rotated_by is None or row.revoked_at is None:
        return False
    return now - row.revoked_at <= _REPLAY_S


def _made(core: Core, session: Session, customer_id: str, place: int) -> Answer:
    key = new_api_key()
    row = ApiKey(
        id=new_id("key"),
        customer_id=customer_id,
        digest=core.vault.digest("api key", key),
        created_at=core.clock.now(),
        slot=place,
    )
    session.add(row)
    session.flush()
    return Answer(201, {"key_id": row.id, "api_key": key, "created_at": row.created_at})


def _live(session: Session, customer_id: str) -> Sequence[ApiKey]:
    live = ApiKey.customer_id == customer_id, ApiKey.revoked_at.is_(None)
    return session.scalars(select(ApiKey).where(*live).order_by(ApiKey.created_at, ApiKey.id)).all()
