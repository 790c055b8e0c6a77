"""Idempotency keys: the first answer to a request is kept, and given again to whoever repeats it.

A slot is taken before the operation starts and filled in the transaction of its effect, so that no
crash can leave an effect without its answer. The key itself is stored as a keyed hash, and an
answer that carries a secret is sealed under a key that is derived from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from sqlalchemy import delete, update

from simulators.billing.core import Answer
from simulators.billing.identifiers import new_id
from simulators.billing.problems import Refusal, Rejection
from simulators.billing.storage.tables import IdempotencyRecord

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from simulators.billing.core import Core
    from simulators.billing.problems import Problem

REPLAYED_HEADER = "Idempotent-Replayed"
_SUCCESS_MAX = 299


@dataclass(frozen=True, slots=True)
class Request:
    """What makes two requests the same: an owner and a route, the client's key, and the body."""

    owner: str | None
    method: str
    path: str
    key: str
    body: bytes
    is_secret: bool = False

    @property
    def key_parts(self) -> tuple[str | bytes, ...]:
        """Give what the key is scoped to; before there is a customer, the body is part of it."""
        owner: tuple[str | bytes, ...] = (self.owner,) if self.owner else ("", self.body)
        return (*owner, self.method, self.path, self.key)

    def scope(self, core: Core) -> str:
        """Give the keyed hash under which the answer is kept."""
        return core.vault.digest("idempotency scope", *self.key_parts)


@dataclass(slots=True)
class Slot:
    """The place of one answer. Without an idempotency key it keeps nothing.

    `token` names this request in keys for Stripe: the same for a repeat, new for a new request.
    """

    core: Core
    request: Request | None
    scope: str
    token: str
    lease_id: str = field(default_factory=lambda: new_id("lease"))
    is_filled: bool = False

    def keep(self, session: Session, answer: Answer) -> Answer:
        """Keep the answer, in the transaction of its effect; give it back."""
        self._fill(session, answer.status, json.dumps(answer.body).encode())
        return answer

    def keep_refusal(self, refusal: Problem) -> None:
        """Keep a refusal by the domain."""
        document = {"code": refusal.code, "detail": refusal.detail, "extra": refusal.extra}
        with self.core.database.write() as session:
            self._fill(session, refusal.status, json.dumps(document).encode())

    def release(self) -> None:
        """Give the slot up unfilled, so that the request may be sent again."""
        if self.request is None or self.is_filled:
            return
        mine = IdempotencyRecord.scope == self.scope, IdempotencyRecord.lease_id == self.lease_id
        with self.core.database.write() as session:
            session.execute(delete(IdempotencyRecord).where(*mine))

    def _fill(self, session: Session, status: int, body: bytes) -> None:
        if self.request is None or self.is_filled:
            return
        is_sealed = self.request.is_secret and status <= _SUCCESS_MAX
        if is_sealed:
            key = self.request.key
            body = self.core.vault.seal(body, idempotency_key=key, record=self.scope)
        filled = update(IdempotencyRecord).where(IdempotencyRecord.scope == self.scope)
        session.execute(
            filled.values(status=status, body=body, is_sealed=int(is_sealed), lease_id=None)
        )
        self.is_filled = True


def unkeyed_slot(core: Core) -> Slot:
    """Give a slot for a request without an idempotency key."""
    return Slot(core, None, "", new_id("once"))


def open_slot(core: Core, request: Request) -> Slot | Answer:
    """Take the slot of a request, or give the answer that an earlier one got.

    A kept refusal is raised again. Raises `Rejection`: 409 while an earlier request runs, 422 when
    the key came with another body before.
    """
    scope = request.scope(core)
    fingerprint = core.vault.digest("idempotency body", request.body)
    slot = Slot(core, request, scope, scope[:40])
    with core.database.write(alone_with=(f"idempotency:{scope}",)) as session:
        record = session.get(IdempotencyRecord, scope)
        now = core.clock.now()
        if record is not None and record.expires_at <= now:
            session.delete(record)
            session.flush()
            record = None
        if record is None:
            session.add(_new_record(core, slot, fingerprint, now))
            return slot
        if record.fingerprint != fingerprint:
            raise Rejection(
                422, "idempotency_key_reused", "This key came with another body before."
            )
        if record.status is not None:
            return _replay(core, request, record)
        if record.leased_until > now:
            raise Rejection(
                409, "idempotency_key_in_flight", "A request with this key is still under way."
            )
        record.lease_id = slot.lease_id
        record.leased_until = now + core.settings.idempotency_lease_s
        return slot


def _new_record(core: Core, slot: Slot, fingerprint: str, now: int) -> IdempotencyRecord:
    return IdempotencyRecord(
        scope=slot.scope,
        customer_id=slot.request.owner if slot.request else None,
        fingerprint=fingerprint,
        lease_id=slot.lease_id,
        leased_until=now + core.settings.idempotency_lease_s,
        status=None,
        body=None,
        is_sealed=0,
        created_at=now,
        expires_at=now + core.settings.idempotency_keep_s,
    )


def _replay(core: Core, request: Request, record: IdempotencyRecord) -> Answer:
    body = record.body or b"{}"
    if record.is_sealed:
        try:
            body = core.vault.open(body, idempotency_key=request.key, record=record.scope)
        except InvalidTag:
            raise Rejection(
                409, "idempotency_key_unreadable", "The kept answer cannot be opened any more."
            ) from None
    document = json.loads(body)
    status = record.status or 0
    if status <= _SUCCESS_MAX:
        return Answer(status, document)
    refusal = Refusal(status, document["code"], document["detail"], **document["extra"])
    refusal.headers[REPLAYED_HEADER] = "true"
    raise refusal
