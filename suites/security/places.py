"""Every place of a request where a client writes text: fields, parameters, ids, headers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from harness.operations import OPERATIONS
from harness.target.wire import Call, Reply
from suites.security.tampering import asking, is_form, saying
from suites.security.tenants import attempt, ids_in, inputs_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from harness.session import Session
    from harness.target.protocol import Outcome
    from suites.security.tampering import Alter
    from suites.security.tenants import Tenant

NEVER_TRIED = frozenset(
    {
        "advance_time",
        "drain",
        "purge_customer",
        "arm_failpoint",
        "close_customer",
        "receive_webhook",
    }
)
HEADERS = ("User-Agent", "Referer", "X-Request-Id", "Accept-Language", "Cookie")


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere in one operation's request; `put` writes a text there, `usual` is what stands."""

    operation: str
    where: str
    usual: str
    put: Callable[[str | int], Alter]

    @property
    def names_usage(self) -> bool:
        """Whether what is written here names a usage, which the books are then asked about."""
        return self.usual.startswith("usage-")

    def __str__(self) -> str:
        """Say it as a finding does."""
        return f"{self.where} of {self.operation}"


def sample(billing: Session, tenant: Tenant, operation: str) -> Call | None:
    """Give the first request that an operation would send for a tenant; nothing is sent."""
    inputs = {**inputs_for(billing, operation, tenant.ids)}
    inputs.setdefault("customer", tenant.customer.id)
    if OPERATIONS[operation].repeat == "key":
        inputs["idempotency_key"] = billing.names.new("key")
    steps = billing.target.perform(
        operation, role="customer", credential=tenant.customer.credential, **inputs
    )
    first = next(steps)
    return first if isinstance(first, Call) else None


def tried(billing: Session, tenant: Tenant) -> list[str]:
    """Name the operations whose every place can be written to: whose ids the tenant has."""
    return [
        name
        for name, mapping in billing.target.profile.operations.items()
        if name not in NEVER_TRIED and ids_in(mapping) <= tenant.ids.keys()
    ]


def places(billing: Session, tenant: Tenant) -> list[Place]:
    """Give every place of every operation that a tenant can do."""
    found: list[Place] = []
    for operation in tried(billing, tenant):
        call = sample(billing, tenant, operation)
        if call is not None:
            found += _of_call(operation, call, tenant)
            found += list(_of_list(billing, operation))
    read = next((name for name in tried(billing, tenant) if OPERATIONS[name].reads), None)
    found += [_header(read, name, "x") for name in HEADERS if read]
    return found


def write(billing: Session, tenant: Tenant, place: Place, text: str | int) -> tuple[Outcome, Reply]:
    """Perform an operation with a text in one place; give what came of it and the answer."""
    in_texts = billing.target.profile.target.encoding == "form"
    said = {"usage_id": str(text) if in_texts else text} if place.names_usage else {}
    alter = None if said else place.put(text)
    customer, ids = tenant.customer, tenant.ids
    outcome = attempt(billing, place.operation, ids, customer, "customer", said=said, alter=alter)
    reply = billing.last_reply
    return outcome, reply if isinstance(reply, Reply) else Reply(0)


def _of_call(operation: str, call: Call, tenant: Tenant) -> Iterator[Place]:
    for name, value in _leaves(call):
        yield Place(operation, f"the field {name}", value, _writing(name))
    for name, value in call.query:
        yield Place(operation, f"the parameter {name}", value, _asking_instead(name))
    parts = call.path.split("/")
    for number, part in enumerate(parts):
        if part in {quote(known, safe="") for known in tenant.ids.values()}:
            yield Place(operation, f"part {number} of the path", part, _naming(number))
    for name, value in call.headers:
        if "idempotency" in name.lower():
            yield _header(operation, name, value)


def _of_list(billing: Session, operation: str) -> Iterator[Place]:
    """Give the parameters of a list that the profile names; guesses would prove nothing."""
    items = billing.target.profile.operations[operation].items
    for name, usual in (items.parameters if items else {}).items():
        yield Place(operation, f"the parameter {name}", usual, _asking_instead(name))


def _header(operation: str, name: str, usual: str) -> Place:
    def put(text: str | int) -> Alter:
        # What HTTP cannot carry in a header goes percent-encoded, as browsers send it.
        plain = str(text)
        carried = plain.isascii() and plain.isprintable()
        return saying(name, plain if carried else quote(plain))

    return Place(operation, f"the header {name}", usual, put)


def _writing(name: str) -> Callable[[str | int], Alter]:
    def put(text: str | int) -> Alter:
        # An operation may go on with requests that have no body.
        return lambda call: replace(call, body=_rewritten(call, name, text)) if call.body else call

    return put


def _asking_instead(name: str) -> Callable[[str | int], Alter]:
    def put(text: str | int) -> Alter:
        def alter(call: Call) -> Call:
            kept = tuple(pair for pair in call.query if pair[0] != name)
            return asking(name, str(text))(replace(call, query=kept))

        return alter

    return put


def _naming(number: int) -> Callable[[str | int], Alter]:
    def put(text: str | int) -> Alter:
        def alter(call: Call) -> Call:
            parts = call.path.split("/")
            if number < len(parts):
                parts[number] = quote(str(text), safe="")
            return replace(call, path="/".join(parts))

        return alter

    return put


def _leaves(call: Call) -> Iterator[tuple[str, str]]:
    """Give the texts of a body with their places, such as `account.contact.email`."""
    if not call.body:
        return
    if is_form(call):
        yield from parse_qsl(call.body.decode(), keep_blank_values=True)
        return
    stack: list[tuple[str, Any]] = [("", json.loads(call.body))]
    while stack:
        name, value = stack.pop()
        if isinstance(value, dict | list):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            stack += [(f"{name}.{key}".lstrip("."), entry) for key, entry in inside]
        elif isinstance(value, str):
            yield name, value


def _rewritten(call: Call, name: str, text: str | int) -> bytes:
    if is_form(call):
        pairs = parse_qsl(call.body.decode(), keep_blank_values=True)
        return urlencode([(key, text if key == name else value) for key, value in pairs]).encode()
    body = json.loads(call.body)
    *outer, last = name.split(".")
    inside: Any = body
    for key in outer:
        inside = inside[int(key) if isinstance(inside, list) else key]
    inside[int(last) if isinstance(inside, list) else last] = text
    return json.dumps(body).encode()


def seen(reply: Reply) -> str:
    """Give all that an answer says: its headers and its body."""
    headers: Mapping[str, str] = dict(reply.headers)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\n".join([*lines, "", reply.body.decode(errors="replace")])
