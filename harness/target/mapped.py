"""A target that is nothing but a profile."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from harness.errors import NotMapped
from harness.money import from_minor
from harness.operations import OPERATIONS, Operation
from harness.target.interpret import Mismatch, body_of, interpret, items_of, search
from harness.target.profile import Mapping, Page, Profile
from harness.target.protocol import Outcome, Performance, Role, refused, unknown
from harness.target.template import encode, fill, fill_path, fill_text, placeholders
from harness.target.wire import Call, NoReply, Pairs, Reply, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.target.profile import Settle

_PAGES_MAX = 1000
_POLL_FIRST_S = 0.02
_POLL_MAX_S = 0.5


class ProfileTarget:
    """Performs operations as a profile describes them. `monotonic` is for tests of deadlines."""

    def __init__(
        self, profile: Profile, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.profile = profile
        self._monotonic = monotonic

    @property
    def operations(self) -> frozenset[str]:
        """The names of the operations that the profile maps."""
        built_in = {"receive_webhook"} if self.profile.webhooks else set()
        return frozenset(self.profile.operations) | built_in

    def perform(
        self, operation: str, /, *, role: Role, credential: str | None, **inputs: Any
    ) -> Performance:
        """Begin an operation. Raises `NotMapped` where the profile does not have it."""
        if operation not in self.operations:
            raise NotMapped(f"the target {self.profile.target.name} does not map {operation}")
        if operation == "receive_webhook":
            return self._receive_webhook(inputs)
        mapping = self.profile.operations[operation]
        said = {k: _word(mapping, k, v) for k, v in inputs.items() if v is not None}
        given = {**mapping.defaults, **said}
        known = {**self._money_written(given), "credential": credential}
        call = self._call(mapping, role, known)
        if mapping.items:
            return self._list(mapping, call)
        return self._single(OPERATIONS[operation], mapping, call, role=role, known=known)

    def test_customers(self) -> Performance | None:
        """Begin to list the customers of a staging's test domains, where the profile says how."""
        mapping = self.profile.staging.customers
        if mapping is None or mapping.items is None:
            return None
        return self._list(mapping, self._call(mapping, "customer", {}))

    def _single(
        self,
        operation: Operation,
        mapping: Mapping,
        call: Call,
        *,
        role: Role,
        known: dict[str, Any],
    ) -> Performance:
        reply = yield call
        outcome = interpret(operation, mapping, self.profile, _answered(reply))
        if outcome.kind == "accepted" and mapping.settle:
            known = {**known, **outcome.outputs}
            poll = self._poll_of(mapping.settle, mapping.role)
            try:
                call = self._call(poll[1], role, known)
            except NotMapped as error:  # it was taken on: only what became of it is not known
                return replace(unknown(f"accepted, but {error}"), outputs=outcome.outputs)
            return (yield from self._settle(mapping.settle, outcome, poll, call))
        return outcome

    def _settle(
        self, settle: Settle, accepted: Outcome, poll: tuple[Operation, Mapping], call: Call
    ) -> Performance:
        """Poll an accepted operation until it is known, or its deadline makes it unknown."""
        ends_at = self._monotonic() + settle.deadline_s
        pause_s = _POLL_FIRST_S
        while self._monotonic() < ends_at:
            reply = yield call
            polled = interpret(*poll, self.profile, _answered(reply))
            if polled.kind == "ok":
                if search(settle.until, dict(polled.outputs)) is True:
                    return Outcome("ok", {**accepted.outputs, **polled.outputs})
                if search(settle.refused, dict(polled.outputs)) is True:
                    code = search(settle.code, dict(polled.outputs))
                    return refused(code if isinstance(code, str) else "refused_later")
            yield Wait(pause_s, f"until {settle.until}")
            pause_s = min(pause_s * 1.5, _POLL_MAX_S)
        return replace(
            unknown(f"accepted, and not known after {settle.deadline_s:g} s"),
            outputs=accepted.outputs,
        )

    def _poll_of(self, settle: Settle, role: str | None) -> tuple[Operation, Mapping]:
        """Give the operation that polls, or a request made as whoever began the operation."""
        if settle.poll in self.profile.operations:
            return OPERATIONS[settle.poll], self.profile.operations[settle.poll]
        free = Operation("settle", (), (), frozenset(), "nature", reads=True, paid=False)
        return free, Mapping(request=settle.poll, role=role, reply=settle.reply)

    def _list(self, mapping: Mapping, first: Call) -> Performance:
        assert mapping.items is not None  # noqa: S101 - the caller chose by it
        found: list[dict[str, Any]] = []
        call: Call | None = first
        page = mapping.items.page
        if page and page.size_param:
            call = _with_query(first, page.size_param, str(page.size))
        operation = Operation("list", (), (), frozenset(), "nature", reads=True, paid=False)
        for number in range(_PAGES_MAX):
            reply = _answered((yield call)) if call else None
            outcome = interpret(
                operation, mapping, self.profile, reply or NoReply("reset", sent=True)
            )
            if outcome.kind != "ok" or not isinstance(reply, Reply) or call is None:
                return outcome
            try:
                items = items_of(mapping.items, self.profile.catalog, reply)
                found += items
                at = _Place(number, len(items), len(found))
                call = self._next_page(page, call, reply, at) if page else None
            except Mismatch as mismatch:
                return unknown(str(mismatch))
            if call is None:
                return Outcome("ok", {"items": found})
        return unknown(f"a list of more than {_PAGES_MAX} pages")

    def _next_page(self, page: Page, call: Call, reply: Reply, at: _Place) -> Call | None:
        if page.style == "link":
            return _linked(call, reply, self.profile.target.base_url)
        return _beyond(page, call, reply, at)

    def _receive_webhook(self, inputs: dict[str, Any]) -> Performance:
        webhooks = self.profile.webhooks
        assert webhooks is not None  # noqa: S101 - `operations` has it only then
        reply = _answered((yield _webhook_call(webhooks.path, inputs)))
        if isinstance(reply, NoReply):
            return unknown(f"no reply: {reply.reason}")
        if reply.status in (webhooks.accepted_status or range(200, 300)):
            return Outcome("ok")
        if reply.status in webhooks.refused_status:
            return refused(f"http_{reply.status}")
        expected = ", ".join(map(str, webhooks.refused_status))
        return unknown(f"HTTP {reply.status}, where a refused webhook answers {expected}")

    def _call(self, mapping: Mapping, role: Role, inputs: dict[str, Any]) -> Call:
        method, _, path = mapping.request.partition(" ")
        path, _, literal = path.partition("?")
        missing = sorted(name for name in placeholders(path) if inputs.get(name) in (None, ""))
        if missing:
            raise NotMapped(f"{mapping.request} needs {', '.join(missing)}, which was not given")
        query = [*parse_qsl(literal), *(fill(mapping.query, inputs) or {}).items()]
        headers = [*self._headers(mapping, role, inputs)]
        body = b""
        if mapping.body is not None:
            kind, body = encode(fill(mapping.body, inputs) or {}, self.profile.target.encoding)
            headers.append(("Content-Type", kind))
        pairs = tuple((name, _as_text(value)) for name, value in query)
        return Call(method, fill_path(path, inputs), pairs, tuple(headers), body)

    def _headers(self, mapping: Mapping, role: Role, inputs: dict[str, Any]) -> Pairs:
        target = self.profile.target
        headers = dict(target.headers)
        headers |= self._identity(mapping, role, inputs)
        headers |= {
            name: fill_text(text, inputs)
            for name, text in mapping.headers.items()
            if all(inputs.get(part) is not None for part in placeholders(text))
        }
        key = inputs.get("idempotency_key")
        if target.idempotency_header and key:
            headers[target.idempotency_header] = key
        return tuple(headers.items())

    def _identity(self, mapping: Mapping, role: Role, inputs: dict[str, Any]) -> dict[str, str]:
        """Give the headers by which a role identifies itself; a customer without a key has none."""
        name = self.profile.auth_role(mapping.role, role)
        auth = self.profile.auth.get(name) if name else None
        if auth is None:
            return {}
        headers = {
            header: fill_text(text, inputs)
            for header, text in auth.headers.items()
            if "credential" not in placeholders(text) or inputs.get("credential")
        }
        if auth.basic:
            pair = f"{auth.basic.user}:{auth.basic.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    def _money_written(self, inputs: dict[str, Any]) -> dict[str, Any]:
        catalog = self.profile.catalog
        return {
            name: from_minor(value, catalog.money, catalog.currency)
            if name.endswith("_minor") and isinstance(value, int)
            else value
            for name, value in inputs.items()
        }


def _answered(reply: Reply | NoReply | None) -> Reply | NoReply:
    """Hold drivers to the contract: a call is answered by a reply or by the lack of one."""
    if reply is None:
        raise TypeError("a driver handed nothing back for a call")
    return reply


def _word(mapping: Mapping, name: str, value: Any) -> Any:
    """Say an input in the target's own word, where its profile has one; TOML's keys are text."""
    word = _as_text(value) if isinstance(value, str | bool) else None
    return mapping.words.get(name, {}).get(word, value) if word is not None else value


def _webhook_call(path: str, inputs: dict[str, Any]) -> Call:
    headers = (("Content-Type", "application/json; charset=utf-8"), *inputs["signature_headers"])
    return Call("POST", path, headers=headers, body=inputs["payload"])


def _as_text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _with_query(call: Call, name: str, value: str) -> Call:
    kept = tuple(pair for pair in call.query if pair[0] != name)
    return replace(call, query=(*kept, (name, value)))


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a list was read: pages before this one, items on it, items so far."""

    number: int
    count: int
    seen: int


def _beyond(page: Page, call: Call, reply: Reply, at: _Place) -> Call | None:
    """Give the call for the page after this one, or None at the end. Raises `Mismatch`."""
    body = body_of(reply)
    if page.style == "cursor":
        cursor = search(page.next, body)
        if cursor is not None and dict(call.query).get(page.param) == str(cursor):
            raise Mismatch(f"the cursor {cursor!r} leads back to its own page")
        return _with_query(call, page.param, str(cursor)) if cursor else None
    total = search(page.total, body)
    ended = search(page.more, body) is False or (isinstance(total, int) and at.seen >= total)
    untold = page.total is None and page.more is None
    if ended or at.count == 0 or (untold and at.count < page.size):
        return None
    # A target may give fewer than it was asked for, so only what came tells the place.
    position = page.start + at.number + 1 if page.style == "page" else at.seen
    return _with_query(call, page.param, str(position))


def _linked(call: Call, reply: Reply, base_url: str) -> Call | None:
    """Follow `Link: <…>; rel="next"` (RFC 8288), by path and query only: never to another host."""
    found = re.search(r'<([^>]*)>\s*;[^,]*\brel="?next"?', reply.header("link") or "")
    if not found:
        return None
    base = urlsplit(base_url).path.rstrip("/")
    parts = urlsplit(urljoin(base + call.path, found[1]))
    path = parts.path.removeprefix(base) if parts.path.startswith(f"{base}/") else parts.path
    return replace(call, path=path, query=tuple(parse_qsl(parts.query)))
