"""Carries what a fuzzer sends over the harness's own transport, and notes it in the history.

Whatever is sent goes out exactly as it was made, within the target's timeout; who sends it is
chosen here: the run's own customers, by the roles of the profile.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import HTTPHeaderDict, HTTPResponse

from harness import signing
from harness.history import Exchange
from harness.operations import OPERATIONS
from harness.target.template import PLACEHOLDER, placeholders
from harness.target.wire import Call, NoReply, Reply
from harness.transport import Transport, spare_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.ground import Ground
    from suites.contract.document import Documented
    from suites.contract.guests import Guests

_SIGNATURE = "Stripe-Signature"
_OWN_READS = ("get_customer", "get_balance", "list_payments")
_UNAUTHENTICATED = 401
# So many refused credentials from one address, and the next ones come from another.
_REFUSED_MAX = 5


class Wire(HTTPAdapter):
    """Sends prepared requests, counts what each operation answers, and notes what may move money.

    `statuses` counts the answers of each documented operation; `silences` are the requests to which
    none came.
    """

    def __init__(self, ground: Ground, guests: Guests, documented: Sequence[Documented]) -> None:
        super().__init__()
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.silences: list[str] = []
        self._ground = ground
        self._guests = guests
        self._documented = documented
        self._target = ground.target.profile.target
        self._base_path = urlsplit(self._target.base_url).path.rstrip("/")
        self._addresses = 0
        self._refused = 0
        self._transport = self._from_another_address()

    def close(self) -> None:
        """Close its connections."""
        super().close()
        self._transport.close()

    def send(  # type: ignore[override]  # what requests would say of time and trust is the target's
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        """Send a request and give its answer; raises as requests does where none came."""
        call = _call(request, self._base_path)
        at, began = time.time(), time.perf_counter()
        reply = self._transport.send(call)
        exchange = Exchange(call, reply, at, (time.perf_counter() - began) * 1000)
        documented, ids = self.documented(call)
        if documented is not None:
            self._note(documented, ids, exchange)
        if isinstance(reply, NoReply):
            if documented is not None and reply.sent:
                self.silences.append(f"{documented.label}: {reply.reason}")
            raise requests.ConnectionError(f"{reply.reason}: {reply.detail}", request=request)
        if reply.status == _UNAUTHENTICATED:
            if caller := self._caller(call):
                self._guests.locked_out(caller)
            self._count_refused()
        return self.build_response(request, _raw(reply))

    def documented(self, call: Call) -> tuple[Documented | None, dict[str, str]]:
        """Find which documented operation a call is, with what its path says."""
        path = call.path.partition("?")[0]
        for each in self._documented:
            ids = each.ids(path) if each.label.startswith(f"{call.method} ") else None
            if ids is not None:
                return each, {each.inputs[name]: value for name, value in ids.items()}
        return None, {}

    def _note(self, documented: Documented, ids: dict[str, str], exchange: Exchange) -> None:
        if isinstance(exchange.reply, Reply):
            self.statuses[documented.label][exchange.reply.status] += 1
        name = documented.operation
        if name is None or OPERATIONS[name].reads:
            return
        profile = self._ground.target.profile
        inputs = _said(profile.operations[name].body, exchange.call.body) | ids
        known = {key: value for key, value in inputs.items() if key in OPERATIONS[name].inputs}
        if name != "create_customer":
            known.setdefault("customer", self._caller(exchange.call))
        if name == "record_usage" and not isinstance(known.get("usage_id"), str):
            return  # it names no usage that could be told again, or charged
        outcome = self._guests.session.note(name, exchange, **known)
        self._guests.heed(name, known.get("customer"), outcome, known.get("key"))

    def _caller(self, call: Call) -> str | None:
        """Tell by its credential whose call this is, where the path does not say it."""
        told = {value.removeprefix("Bearer ") for _, value in call.headers}
        known = self._guests.session.customers
        found = [c.id for c in known if c.credential and c.credential in told]
        return found[-1] if found else None

    def _count_refused(self) -> None:
        self._refused += 1
        if self._refused >= _REFUSED_MAX:
            self._transport.close()
            self._transport = self._from_another_address()

    def _from_another_address(self) -> Transport:
        """Come from another address, where the target is on this machine.

        Services lock an address out that presents too many wrong credentials, as a fuzzer does.
        """
        self._addresses += 1
        self._refused = 0
        name = f"{self._ground.plan.run_id} fuzzing {self._guests.session.names.new('address')}"
        address = spare_address(self._target.base_url, name)
        return Transport(self._target.base_url, self._target.timeout_s, source_address=address)


class Credentials(AuthBase):
    """Gives each request the headers by which its sender is known, and events their signature."""

    def __init__(self, ground: Ground, guests: Guests, wire: Wire) -> None:
        self._ground = ground
        self._guests = guests
        self._wire = wire

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add them."""
        call = _call(request, urlsplit(self._ground.target.profile.target.base_url).path)
        webhooks = self._ground.target.profile.webhooks
        if webhooks and call.path == webhooks.path:
            self._sign(request, call)
            return request
        documented, ids = self._wire.documented(call)
        for name, value in self._identity(documented, ids):
            if name.lower() != "content-type":
                request.headers[name] = value
        return request

    def _sign(self, request: requests.PreparedRequest, call: Call) -> None:
        """Sign an event as the provider does; one that is sent without a signature stays so."""
        secret = self._ground.webhook_secret
        if secret and _SIGNATURE in request.headers:
            request.headers[_SIGNATURE] = signing.header(call.body, secret, int(time.time()))

    def _identity(
        self, documented: Documented | None, ids: Mapping[str, str]
    ) -> Sequence[tuple[str, str]]:
        """Give the headers of the role that the profile names, or of the operation's own."""
        target = self._ground.target
        roles = target.profile.contract.roles if target.profile.contract else {}
        if documented and documented.label in roles:
            auth = target.profile.auth.get(roles[documented.label])
            return tuple(auth.headers.items()) if auth else ()
        known = self._guests.named(ids.get("customer")) or self._guests.now.customer
        self._guests.charge(known.id)
        name = documented.operation if documented else None
        name = name or next((each for each in _OWN_READS if each in target.operations), None)
        if name is None:
            return ()
        # Nothing that stands in a header of the operation's own: only who asks is wanted.
        left_out = placeholders(target.profile.operations[name].headers)
        wanted = [each for each in OPERATIONS[name].inputs if each not in left_out]
        given: dict[str, Any] = dict.fromkeys(wanted, "x") | dict(ids)
        credential = known.credential
        performance = target.perform(name, role="customer", credential=credential, **given)
        first = next(performance)
        performance.close()
        return first.headers if isinstance(first, Call) else ()


def _call(request: requests.PreparedRequest, base_path: str) -> Call:
    parts = urlsplit(request.url or "")
    path = parts.path.removeprefix(base_path.rstrip("/")) + (
        f"?{parts.query}" if parts.query else ""
    )
    body = request.body.encode() if isinstance(request.body, str) else request.body
    if not isinstance(body, bytes):
        body = b""
    headers = tuple((_latin(name), _latin(value)) for name, value in request.headers.items())
    return Call(request.method or "GET", path, headers=headers, body=body)


def _latin(value: str | bytes) -> str:
    """Write a header as the wire has it: what is not Latin-1 goes as the bytes of its UTF-8."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8").decode("latin-1")
    return value


def _raw(reply: Reply) -> HTTPResponse:
    """Give a reply as urllib3 has it. Its body is decoded already."""
    headers = HTTPHeaderDict()
    for name, value in reply.headers:
        if name.lower() not in {"content-encoding", "transfer-encoding"}:
            headers.add(name, value)
    return HTTPResponse(
        BytesIO(reply.body), headers, reply.status, version=11, preload_content=False
    )


def _said(template: object, body: bytes) -> dict[str, Any]:
    """Read the inputs back out of a JSON body, as the profile's template put them in.

    >>> _said({"card": {"token": "{token}"}}, b'{"card": {"token": "pm_1", "more": 2}}')
    {'token': 'pm_1'}
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return dict(_read(template, value))


def _read(template: object, value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(template, dict) and isinstance(value, dict):
        for key, entry in template.items():
            if key in value:
                yield from _read(entry, value[key])
    elif isinstance(template, str) and (lone := PLACEHOLDER.fullmatch(template)):
        yield lone[1], value
