"""Idempotency keys, as https://docs.stripe.com/api/idempotent_requests has them.

The first answer under a key is stored, whatever its status, and given again for 24 hours.
Nothing is stored for a request that failed validation or met another one in progress.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulators.stripe.errors import BadParameters, IdempotencyError

KEPT_S = 24 * 3_600
_LENGTH_MAX = 255


@dataclass(frozen=True)
class Answer:
    """An answer, and the id of the request that it was first given to.

    One that was given before execution had begun is not stored.
    """

    status: int
    body: bytes
    request_id: str
    executed: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Record:
    """One key: the request it went with, and once that has executed, the answer."""

    method: str
    path: str
    fingerprint: str
    begun_at: int
    answer: Answer | None = None


class IdempotencyKeys:
    """The keys of one account."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self.changed: set[tuple[str, str]] = set()
        """Keys whose stored answers are new since they were last saved."""

    def begin(  # noqa: PLR0913 - what identifies a request
        self, account: str, key: str, *, method: str, path: str, fingerprint: str, now: int
    ) -> Answer | None:
        """Return the stored answer, or None when this request is the first and may execute.

        Raises `IdempotencyError` for a key that is in use, or that went with another request.
        """
        if len(key) > _LENGTH_MAX:
            raise BadParameters(
                f"Idempotency keys may be at most {_LENGTH_MAX} characters long; yours is "
                f"{len(key)} characters.",
            )
        record = self.records.get((account, key))
        if record is None or record.begun_at + KEPT_S <= now:
            self.records[account, key] = Record(method, path, fingerprint, now)
            return None
        if (record.method, record.path) != (method, path):
            raise IdempotencyError(
                "Keys for idempotent requests can only be used for the same endpoint they were "
                f"first used for ('{record.path}' with {record.method}). Try using a key other "
                f"than '{key}' if you meant to execute a different request."
            )
        if record.fingerprint != fingerprint:
            raise IdempotencyError(
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with. Try using a key other than '{key}' if you meant to execute a "
                "different request."
            )
        if record.answer is None:
            raise IdempotencyError(
                "There is currently another in-progress request using this Idempotent Key (that "
                "probably means you submitted twice, and the other request is still going "
                "through).",
                status=409,
                code="idempotency_key_in_use",
            )
        return record.answer

    def finish(self, account: str, key: str, answer: Answer | None) -> None:
        """Store the answer of a request that executed; None lets the key go unused."""
        if answer is None:
            self.records.pop((account, key), None)
        else:
            self.records[account, key].answer = answer
            self.changed.add((account, key))
