"""Sends events to endpoints, as the faults in force will have it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from simulators.stripe.faults.book import Facts, FaultBook, Hit
from simulators.stripe.faults.kinds import DELIVERY_KINDS
from simulators.stripe.faults.requests import owners
from simulators.stripe.outgoing import Outgoing, encode
from simulators.stripe.world import World
from simulators.webhooks.delivery import Deliverer, Gathering, Message
from simulators.webhooks.events import Obj

_OF_EVENTS = {"twin": DELIVERY_KINDS["twin"]}
_OF_MESSAGES = {kind: said for kind, said in DELIVERY_KINDS.items() if kind != "twin"}


@dataclass
class _Awaited:
    """A message that the API's answer waits for."""

    message: Message
    deadline_s: float


class Dispatcher:
    """Takes events from the account, makes messages of them and hands them to the deliverer.

    `requests` holds what is known of the API requests under way, by their ids.
    """

    def __init__(self, world: World, deliverer: Deliverer, book: FaultBook) -> None:
        self.requests: dict[str, Facts] = {}
        self._world, self._deliverer, self._book = world, deliverer, book
        self._awaited: dict[str | None, list[_Awaited]] = {}

    def publish(self, leaving: Outgoing) -> None:
        """Send an event to its endpoints; a twin goes the same way."""
        event, endpoints = leaving.event, leaving.endpoints
        if leaving.by_hand:
            for endpoint in endpoints:
                self.dispatch(event, endpoint, retried=False)
            return
        twins = self._book.strike(_OF_EVENTS, self._facts(event), self._world.account_now)
        for each in [event, *(self._twin(event, hit) for hit in twins)]:
            for endpoint in endpoints:
                self.dispatch(each, endpoint)

    def dispatch(self, event: Obj, endpoint: Obj, *, retried: bool = True) -> None:
        """Send an event to one endpoint."""
        now = self._world.account_now
        facts = self._facts(event, endpoint["id"])
        hits = {hit.kind: hit for hit in self._book.strike(_OF_MESSAGES, facts, now)[::-1]}
        version = endpoint["api_version"] or self._world.version
        if hit := hits.get("api_version"):
            version = hit["version"]
        body = encode(event, version)
        message = Message(
            event["id"], event["type"], endpoint["id"], body, due_at=now, retried=retried
        )
        again = self._copies(message, hits.get("duplicate"))
        self._route(message, hits)
        for copy in again:
            if copy.due_at > now:
                self._deliverer.send_later(copy, copy.due_at)
            else:
                self._deliverer.send(copy)

    @staticmethod
    def _copies(message: Message, hit: Hit | None) -> list[Message]:
        """Return the duplicates of a message, due when they are to be sent."""
        times, apart_s = (hit["times"], hit["seconds"]) if hit else (0, 0)
        return [
            replace(message, due_at=message.due_at + count * apart_s)
            for count in range(1, times + 1)
        ]

    async def before_answer(self, request_id: str) -> None:
        """Wait for the deliveries that the answer to a request has to wait for."""
        for each in self._awaited.pop(request_id, []):
            await self._deliverer.attempted([each.message], each.deadline_s)

    def _twin(self, event: Obj, hit: Hit) -> Obj:
        """Record a second event of the same fact."""
        store = self._world.store
        twin = {**event, "id": self._world.ids.new("evt")}
        with store.transaction():
            store.insert(twin)
        hit.note["twin"] = twin["id"]
        return twin

    def _route(self, message: Message, hits: dict[str, Hit]) -> None:
        """Hand a message over, at most one fault deciding how."""
        for kind, route in self._routes().items():
            if kind in hits:
                route(message, hits[kind])
                return
        self._deliverer.send(message)

    def _routes(self) -> dict[str, Callable[[Message, Hit], None]]:
        return {
            "drop": lambda message, _hit: self._deliverer.drop(message, "dropped"),
            "hold": lambda message, hit: self._deliverer.hold(message, hit.fault.id),
            "delay": lambda message, hit: self._deliverer.send_later(
                message, message.due_at + hit["seconds"]
            ),
            "reorder": self._gather,
            "burst": self._gather,
            "before_answer": self._await,
        }

    def _gather(self, message: Message, hit: Hit) -> None:
        def shuffle(messages: list[Message]) -> list[Message]:
            order = list(messages)
            hit.fault.draw("order", hit.number).shuffle(order)
            if order == messages:
                order = [*messages[1:], *messages[:1]]
            hit.note["order"] = [each.event_id for each in order]
            return order

        burst = hit.kind == "burst"
        group = Gathering(
            size=hit["size"],
            within_s=hit["within_s"],
            arrange=(lambda messages: messages) if burst else shuffle,
            at_once=burst,
        )
        self._deliverer.gather(message, hit.fault.id, group)

    def _await(self, message: Message, hit: Hit) -> None:
        awaited = _Awaited(message, hit["deadline_s"])
        self._awaited.setdefault(hit.note["request"], []).append(awaited)
        self._deliverer.send(message)

    def _facts(self, event: Obj, endpoint_id: str | None = None) -> Facts:
        """Return what is known of a delivery: the event's object, and the causing request."""
        request = self.requests.get(event["request"]["id"] or "", Facts({}))
        obj = event["data"]["object"]
        labels = {
            "method": request.labels.get("method"),
            "path": request.labels.get("path"),
            "request": event["request"]["id"],
            "idempotency_key": event["request"]["idempotency_key"],
            "event": event["id"],
            "event_type": event["type"],
            "object": obj.get("id"),
            "webhook_endpoint": endpoint_id,
        }
        metadata = obj.get("metadata") or {}
        return Facts(labels, request.body, metadata, frozenset(owners(self._world.store, obj)))
