"""Puts a staging into its ten states, takes away what is there of them, and reads them back."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from harness.customers import Reached, differences, load_states, reach_all, role_for, why_not
from harness.errors import HarnessError, NotMapped, StagingError, Unknown
from harness.patience import TRIES
from harness.session import Customer
from harness.staging.footing import TEST_DOMAINS, clock_now, is_of_test
from harness.staging.record import Entry
from harness.target.mapped import ProfileTarget
from harness.target.wire import Call, NoReply, Reply, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.customers import State
    from harness.staging.footing import Footing
    from harness.target.protocol import Outcome

Standing = Literal["as due", "differs", "missing", "unknown"]

_GONE = frozenset({404, 410})
_WRONG_KEY = frozenset({401, 403})
_AGAIN = "Mend that and run `billing-harness staging reset` again: it begins by removing what is"
_AGAIN += " there of the ten, half made or whole."


@dataclass
class Done:
    """What a command did until now.

    `left_out` says why a state is not had on this target. `lost` are addresses of whom an earlier
    command may have made before it was cut off, on a target that cannot tell.
    """

    deleted: int = 0
    created: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "deleted": self.deleted,
            "created": len(self.created),
            "fixture_types": list(self.created),
            **({"kept": self.kept} if self.kept else {}),
            **({"lost": self.lost} if self.lost else {}),
            **({"left_out": self.left_out} if self.left_out else {}),
        }

    def __str__(self) -> str:
        """Say it in a line."""
        told = f"{self.deleted} removed, {len(self.created)} made, {len(self.verified)} verified"
        return f"{told}, {len(self.kept)} kept" if self.kept else told


@dataclass(frozen=True, slots=True)
class Seen:
    """How one state stands: who is in it, and what is not as it should be."""

    state: str
    standing: Standing
    email: str
    customer: str | None = None
    why: tuple[str, ...] = ()


@dataclass
class Ten:
    """The ten customers of one staging. `done` tells at any moment what was done."""

    footing: Footing
    done: Done = field(default_factory=Done)
    _suffix: str = ""

    def reset(self) -> Done:
        """Remove whoever is there of the test domains, make the ten anew, and read each back.

        It may be cut off anywhere and run again. Raises `StagingError` saying how far it came.
        """
        with self._told(), self.footing.record.alone("reset"):
            self._remove_all()
            self._make(self._able())
        return self.done

    def seed(self) -> Done:
        """Make those of the ten that are not there; those that stand as due are kept.

        Raises `StagingError` where one is there and differs: only a reset makes it anew.
        """
        with self._told(), self.footing.record.alone("seed"):
            able = self._able()
            seen = {each.state: each for each in self.look()}
            odd = [each for each in seen.values() if each.standing in {"differs", "unknown"}]
            if odd:
                told = "; ".join(f"{each.state}: {', '.join(each.why)}" for each in odd)
                raise StagingError(
                    f"some are there and not as they should be: {told}",
                    hint="billing-harness staging reset makes all ten anew.",
                )
            self.done.kept = [key for key, each in seen.items() if each.standing == "as due"]
            self._make([state for state in able if state.key not in self.done.kept])
        return self.done

    def look(self, deadline_s: float = 0.0) -> list[Seen]:
        """Read the ten back, one after the other; nothing but reading is done."""
        listed = {email: found for found, email in (self._listed() or {}).items()}
        return [self._seen(state, listed, deadline_s) for state in load_states().values()]

    def doomed(self) -> list[str]:
        """Give the addresses of whom a reset would remove."""
        listed = self._listed()
        if listed is not None:
            return sorted(email for email in listed.values() if is_of_test(email))
        return sorted(entry.email for entry in self.footing.record.entries)

    def to_make(self) -> list[str]:
        """Name the states that a reset would make; why others are left out is noted."""
        return [state.key for state in self._able()]

    # the reception of `harness.customers`

    def inputs(self, state: State) -> Mapping[str, Any]:
        """Sign somebody up under an address and a key that are written down before."""
        clock = self.footing.clock
        entry = Entry(
            state.key,
            self._address(state),
            f"staging-{secrets.token_hex(12)}",
            test_clock=clock.id if clock and state.needs_time else None,
        )
        self.footing.record.entries.append(entry)
        self.footing.record.save()
        return _sign_up(entry)

    def known(self, state: State, customer: Customer, subscription: str | None) -> None:
        """Write down who somebody is."""
        entry = self.footing.record.of(state.key)
        if entry is None:
            return
        _identify(entry, customer)
        entry.subscription = subscription
        self.footing.record.save()
        if state.key not in self.done.created:
            self.done.created.append(state.key)

    # making

    def _able(self) -> list[State]:
        able = []
        for state in load_states().values():
            can = self.footing.time is not None
            reason = why_not(state, self.footing.target, can_move_time=can)
            if reason:
                self.done.left_out[state.key] = reason
            else:
                able.append(state)
        return able

    def _make(self, states: Sequence[State]) -> None:
        footing = self.footing
        # Who is only closed keeps an address, so those after must have others.
        mapped = footing.target.operations
        self._suffix = "" if "purge_customer" in mapped else f"+{secrets.token_hex(4)}"
        if footing.clock and any(state.needs_time for state in states):
            footing.clock.start(clock_now(footing))
        for reached in reach_all(states, footing.session, footing.time, reception=self):
            self._verify(reached)
        order = list(load_states())
        self.done.created.sort(key=order.index)

    def _verify(self, reached: Reached) -> None:
        wrong = differences(reached, self.footing.session)
        if wrong:
            raise StagingError(
                f"{reached.state.key} was made, and is not as it should be: {'; '.join(wrong)}"
            )
        self.done.verified.append(reached.state.key)

    def _address(self, state: State) -> str:
        return f"{state.email}{self._suffix}@{TEST_DOMAINS[0]}"

    # removing

    def _remove_all(self) -> None:
        record = self.footing.record
        listed = self._listed()
        for entry in list(record.entries):
            if entry.customer is None and listed is None:
                self._learn(entry)
            if entry.customer is None or (listed is not None and entry.customer not in listed):
                record.forget(entry)
        ours = {entry.customer: entry for entry in record.entries}
        strangers = [
            Entry("", email, "", customer)
            for customer, email in (listed or {}).items()
            if customer not in ours and is_of_test(email)
        ]
        for entry in [*strangers, *record.entries]:
            self._remove(entry)
            self.done.deleted += 1
            if entry in record.entries:
                record.forget(entry)
        if self.footing.clock:
            self.footing.clock.remove_all()

    def _learn(self, entry: Entry) -> None:
        """Find out whether a creation that was cut off made somebody, by asking once more for it.

        Under its own key that makes nobody a second time; where the address is taken all the same
        by somebody unknown, only the target's owner can take him away.
        """
        session, profile = self.footing.session, self.footing.target.profile
        mapping = profile.operations.get("create_customer")
        in_body = mapping is not None and "{idempotency_key}" in str(mapping.model_dump())
        if not (profile.target.idempotency_header or in_body):
            self.done.lost.append(entry.email)
            return
        name = load_states()[entry.state].name
        outcome = session.perform("create_customer", name=name, source="direct", **_sign_up(entry))
        if outcome.kind == "ok":
            found = next(each for each in session.customers if each.id == outcome["customer"])
            _identify(entry, found)
            self.footing.record.save()
        elif outcome.kind == "refused":
            self.done.lost.append(entry.email)
        else:
            raise StagingError(f"whether {entry.email} exists is not known: {outcome}")

    def _remove(self, entry: Entry) -> None:
        """End what somebody subscribed to, and purge or close him."""
        if not is_of_test(entry.email):
            raise StagingError(f"{entry.email} is of no test domain, and is not touched")
        mapped = self.footing.target.operations
        if entry.subscription and "cancel_subscription" in mapped:
            self._perform(
                "cancel_subscription",
                entry,
                subscription=entry.subscription,
                at_period_end=False,
            )
        how = next((each for each in ("purge_customer", "close_customer") if each in mapped), None)
        if how is None:
            return
        outcome = self._perform(how, entry)
        if outcome.kind == "ok" or self._status() in _GONE:
            return
        raise StagingError(f"{how} of {entry.email} was {outcome}", hint=self._key_hint(how))

    def _perform(self, operation: str, entry: Entry, **inputs: Any) -> Outcome:
        session, customer = self.footing.session, _customer(entry)
        role = role_for(session, operation, customer)
        return session.perform(operation, customer=customer, role=role, **inputs)

    # reading

    def _listed(self) -> dict[str, str] | None:
        """Read who is there of the test domains, an address for each id; None: nobody can tell."""
        target = self.footing.target
        listing = target.test_customers() if isinstance(target, ProfileTarget) else None
        if listing is None:
            return None
        answer: Reply | NoReply | None = None
        outcome: Outcome | None = None
        while outcome is None:
            try:
                step = listing.send(answer)
                answer = None if isinstance(step, Wait) else self._read(step)
            except StopIteration as end:
                outcome = cast("Outcome", end.value)
        if outcome.kind != "ok":
            reached = answer.status if isinstance(answer, Reply) else None
            raise StagingError(
                f"the customers of the test domains could not be listed: {outcome}",
                hint="Check [staging.customers], and the variables that its role in [auth] names."
                if reached in _WRONG_KEY
                else None,
            )
        return {each["customer"]: each["email"] for each in outcome["items"]}

    def _read(self, call: Call) -> Reply | NoReply:
        """Read; an answer that is lost is asked for again, as a session does."""
        reply = self.footing.way.send(call)
        for _ in range(TRIES - 1):
            if isinstance(reply, Reply):
                break
            reply = self.footing.way.send(call)
        return reply

    def _seen(self, state: State, listed: Mapping[str, str], deadline_s: float) -> Seen:
        entry = self.footing.record.of(state.key)
        email = entry.email if entry else self._address(state)
        found = entry.customer if entry else listed.get(email)
        if listed and found not in listed.values():
            found = listed.get(email)
        if found is None:
            why = "its making was cut off" if entry else "nobody made it"
            return Seen(state.key, "missing", email, None, (why,))
        known = entry if entry and entry.customer == found else Entry(state.key, email, "", found)
        reached = Reached(state, _customer(known), known.subscription)
        try:
            wrong = differences(reached, self.footing.session, deadline_s=deadline_s)
        except AssertionError as error:
            # A refusal is an answer, such as that there is no subscription; being turned away none.
            turned_away = self._status() in _WRONG_KEY
            standing: Standing = "unknown" if turned_away else "differs"
            return Seen(state.key, standing, email, found, (str(error),))
        except (Unknown, NotMapped) as error:
            return Seen(state.key, "unknown", email, found, (str(error),))
        return Seen(state.key, "differs" if wrong else "as due", email, found, tuple(wrong))

    # telling

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Have whatever ends a command early say what was done, and how to go on."""
        try:
            yield
        except (AssertionError, Unknown, HarnessError) as error:
            told = error.message if isinstance(error, HarnessError) else str(error)
            hint = error.hint if isinstance(error, HarnessError) else None
            hint = hint or self._key_hint(None) or _AGAIN
            raise StagingError(f"{told}\nso far: {self.done}", hint=hint) from error

    def _key_hint(self, operation: str | None) -> str | None:
        """Say what to mend where the target turned us away or limited us."""
        if self.footing.way.limited:
            return (
                f"The target's limits are too low for this: it answered HTTP 429"
                f" {self.footing.way.limited} times. Raise them on the staging, or wait. {_AGAIN}"
            )
        if self._status() in _WRONG_KEY:
            last = operation or self.footing.session.records[-1].operation
            mapping = self.footing.target.profile.operations.get(last)
            role = (mapping.role if mapping else None) or "customer"
            return f"Check [auth.{role}] in the profile, and the variables it names. {_AGAIN}"
        return None

    def _status(self) -> int | None:
        last = self.footing.session.last_reply
        return last.status if isinstance(last, Reply) else None


def _identify(entry: Entry, customer: Customer) -> None:
    entry.customer, entry.credential = customer.id, customer.credential
    entry.provider_customer = customer.provider_customer


def _sign_up(entry: Entry) -> dict[str, Any]:
    on_clock = {"test_clock": entry.test_clock} if entry.test_clock else {}
    return {"email": entry.email, "idempotency_key": entry.key, **on_clock}


def _customer(entry: Entry) -> Customer:
    return Customer(entry.customer or "", entry.credential, entry.provider_customer, entry.email)
