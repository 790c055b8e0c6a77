"""Further keys of the ten customers, for a load test to spend; theirs are left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import SettingsError, StagingError
from harness.session import Customer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.staging.footing import Footing
    from harness.staging.record import Entry


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key that was made: whose it is, its id, and the key itself, shown this once."""

    state: str
    customer: str
    key: str
    credential: str = field(repr=False)


def create_keys(footing: Footing, states: Sequence[str]) -> list[MadeKey]:
    """Make a key for the customer of each of these states, or of all; each is noted at once.

    Raises `StagingError` where one cannot be made, and `NotMapped` where the target makes none.
    """
    made: list[MadeKey] = []
    with footing.record.alone():
        for entry in _chosen(footing, states):
            outcome = footing.session.perform("create_key", customer=_owner(entry))
            if outcome.kind != "ok":
                raise StagingError(
                    f"a key for {entry.state} was {outcome}\nso far: {len(made)} made",
                    hint="billing-harness staging keys revoke takes back those made here.",
                )
            entry.extra_keys.append(outcome["key"])
            footing.record.save()
            owner = entry.customer or ""
            made.append(MadeKey(entry.state, owner, outcome["key"], outcome["credential"]))
    return made


def revoke_keys(footing: Footing) -> int:
    """Revoke every key that `create_keys` made and that was not revoked; give how many.

    Raises `StagingError` where one cannot be revoked; those before it are.
    """
    count = 0
    with footing.record.alone():
        for entry in footing.record.entries:
            for key in list(entry.extra_keys):
                outcome = footing.session.perform("revoke_key", customer=_owner(entry), key=key)
                if outcome.kind != "ok" and outcome.code not in {"not_found", "http_404"}:
                    raise StagingError(
                        f"the key {key} of {entry.state} was not revoked: {outcome}\n"
                        f"so far: {count} revoked",
                        hint="Mend that, and run the same again.",
                    )
                entry.extra_keys.remove(key)
                footing.record.save()
                count += 1
    return count


def _chosen(footing: Footing, states: Sequence[str]) -> list[Entry]:
    entries = [each for each in footing.record.entries if each.customer and each.credential]
    known = [each.state for each in entries]
    if not entries:
        raise StagingError(
            "there is no customer here whose credential is known",
            hint="billing-harness staging reset makes the ten, and keeps what they sign in with.",
        )
    if wrong := [name for name in states if name not in known]:
        raise SettingsError(
            f"there is no customer {', '.join(map(repr, wrong))}",
            hint=f"Known: {', '.join(sorted(known))}.",
        )
    return [each for each in entries if not states or each.state in states]


def _owner(entry: Entry) -> Customer:
    return Customer(entry.customer or "", entry.credential, entry.provider_customer, entry.email)
