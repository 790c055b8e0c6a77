"""The state: tables of objects, and an agenda of what falls due, both with undo.

Objects are plain dicts in the shape of Stripe's JSON, with ids where Stripe has expandable
fields. A key with a leading underscore is a fact of the simulator's own and is never shown.
Every change goes through this class, so a failing request can be undone as a whole.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator, KeysView, Mapping
from contextlib import contextmanager

from simulators.stripe.errors import ApiError
from simulators.webhooks.events import Obj

_INDEXED = frozenset(
    {
        "_subscription",
        "charge",
        "customer",
        "invoice",
        "payment_intent",
        "product",
        "subscription",
        "test_clock",
    }
)

AgendaKey = tuple[str, str]
"""(what to do, id of the object to do it to)"""

ACCOUNT_TIME = ""
"""The agenda of what goes by the account's own clock; test clocks have one each, by their id."""


class Agenda:
    """What is planned on one clock; planning a thing again replaces the plan for it."""

    def __init__(self) -> None:
        self.planned: dict[AgendaKey, int] = {}
        self._heap: list[tuple[int, int, AgendaKey]] = []
        self._sequence = itertools.count()

    def plan(self, key: AgendaKey, at: int | None) -> None:
        """Plan a thing for `at`; None drops it."""
        if at is None:
            self.planned.pop(key, None)
        else:
            self.planned[key] = at
            heapq.heappush(self._heap, (at, next(self._sequence), key))

    def next_due(self) -> int | None:
        """Return the moment of the earliest thing."""
        while self._heap and self.planned.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self) -> AgendaKey:
        """Take the earliest thing, once `next_due` has told that there is one."""
        key = heapq.heappop(self._heap)[2]
        del self.planned[key]
        return key


class Store:
    """Holds every object by kind (its ``object`` field) and id, in order of creation."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Obj]] = {}
        self._index: dict[tuple[str, str, str], set[str]] = {}
        self._births: dict[tuple[str, str], int] = {}
        self._born = itertools.count()
        self._undo: list[Callable[[], object]] = []
        self._depth = 0
        self._agendas: dict[str, Agenda] = {}

    def insert(self, obj: Obj) -> Obj:
        """Add a new object and return it."""
        self._tables.setdefault(obj["object"], {})[obj["id"]] = obj
        self._births[obj["object"], obj["id"]] = next(self._born)
        self._reindex(obj, obj.keys(), add=True)
        self._undo.append(lambda: self._drop(obj))
        return obj

    def set(self, obj: Obj, **fields: object) -> Obj:
        """Change top-level fields of a stored object; nested values are replaced, not edited."""
        before = {key: obj[key] for key in fields if key in obj}
        added = [key for key in fields if key not in obj]

        def restore() -> None:
            self._reindex(obj, fields.keys(), add=False)
            for key in added:
                del obj[key]
            obj.update(before)
            self._reindex(obj, fields.keys(), add=True)

        self._reindex(obj, fields.keys(), add=False)
        obj.update(fields)
        self._reindex(obj, fields.keys(), add=True)
        self._undo.append(restore)
        return obj

    def delete(self, obj: Obj) -> None:
        """Remove an object; only children of something else are ever truly removed."""
        self._drop(obj)

        def restore() -> None:
            self._table(obj["object"])[obj["id"]] = obj
            self._reindex(obj, obj.keys(), add=True)

        self._undo.append(restore)

    def get(self, kind: str, object_id: str) -> Obj | None:
        """Return the object of that kind and id, if there is one."""
        return self._table(kind).get(object_id)

    def find(self, object_id: str) -> Obj | None:
        """Return the object of that id, of whatever kind it is."""
        return next((t[object_id] for t in self._tables.values() if object_id in t), None)

    def all(self, kind: str) -> list[Obj]:
        """Return every object of a kind, oldest first."""
        return list(self._table(kind).values())

    def where(self, kind: str, field: str, value: str) -> list[Obj]:
        """Return the objects of a kind that refer to `value` in `field`, oldest first."""
        assert field in _INDEXED, field  # noqa: S101 - a field outside the index finds nothing
        table = self._table(kind)
        found = self._index.get((kind, field, value), ())
        return [table[each] for each in sorted(found, key=lambda each: self._births[kind, each])]

    def listed(self, kind: str, asked: Mapping[str, object]) -> list[Obj]:
        """Return the objects of a kind, oldest first: of an owner who is asked for, or all.

        `asked` are parameters of a list whose names are fields of the object; those that no index
        knows are left for the caller to compare.
        """
        for field in _INDEXED & asked.keys():
            if isinstance(value := asked[field], str):
                return self.where(kind, field, value)
        return self.all(kind)

    def schedule(
        self, action: str, object_id: str, at: int | None, clock: str = ACCOUNT_TIME
    ) -> None:
        """Do `action` to the object at `at`, in place of what was planned; None cancels."""
        agenda = self._agendas.setdefault(clock, Agenda())
        key = (action, object_id)
        before = agenda.planned.get(key)
        self._undo.append(lambda: agenda.plan(key, before))
        agenda.plan(key, at)

    def planned_at(self, action: str, object_id: str, clock: str = ACCOUNT_TIME) -> int | None:
        """Return when an action is planned for an object, if it is."""
        agenda = self._agendas.get(clock)
        return agenda.planned.get((action, object_id)) if agenda else None

    def next_due(self, clock: str = ACCOUNT_TIME) -> int | None:
        """Return when the next planned action falls due."""
        agenda = self._agendas.get(clock)
        return agenda.next_due() if agenda else None

    def pop_due(self, now: int, clock: str = ACCOUNT_TIME) -> AgendaKey | None:
        """Take the earliest action that is due at `now`; those of one moment in plan order."""
        due = self.next_due(clock)
        if due is None or due > now:
            return None
        agenda = self._agendas[clock]
        key = agenda.pop()
        self._undo.append(lambda: agenda.plan(key, due))
        return key

    def on_undo(self, action: Callable[[], object]) -> None:
        """Have something outside the tables undone too, if the transaction fails."""
        self._undo.append(action)

    def forget_undo(self) -> None:
        """Let what was done outside any transaction stand."""
        self._undo.clear()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes made inside, or none when an error leaves it.

        An `ApiError` that keeps its effects (a declined card) leaves them in place.
        """
        mark = len(self._undo)
        self._depth += 1
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, ApiError) and error.keeps_effects):
                while len(self._undo) > mark:
                    self._undo.pop()()
            raise
        finally:
            self._depth -= 1
            if not self._depth:
                self._undo.clear()

    def _table(self, kind: str) -> dict[str, Obj]:
        """Return a kind's table; looking never adds one, so others may look meanwhile."""
        return self._tables.get(kind, {})

    def _drop(self, obj: Obj) -> None:
        self._reindex(obj, obj.keys(), add=False)
        del self._table(obj["object"])[obj["id"]]

    def _reindex(self, obj: Obj, fields: KeysView[str], *, add: bool) -> None:
        """Enter the object under those indexed fields that hold an id, or take it out."""
        for field in _INDEXED & fields:
            value = obj.get(field)
            if not isinstance(value, str):
                continue
            entry = self._index.setdefault((obj["object"], field, value), set())
            (entry.add if add else entry.discard)(obj["id"])
