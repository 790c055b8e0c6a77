"""Stripe's API over HTTP: what is called, how often it is done, and what faults do to it."""

import json
import logging
import time
from collections import deque

from starlette.requests import Request
from starlette.responses import Response

from simulators.stripe import old_requests, resources
from simulators.stripe.errors import ApiError, unrecognized_url
from simulators.stripe.exchange import Exchange, fingerprint, form_text
from simulators.stripe.faults import requests as faults
from simulators.stripe.faults.requests import RequestFaults, facts_of, rate_limited, server_error
from simulators.stripe.faults.wire import Reset, Truncated
from simulators.stripe.forms import Raw, decode_form
from simulators.stripe.idempotency import Answer
from simulators.stripe.routes import Call, Route, Router
from simulators.stripe.simulator import Simulator
from simulators.stripe.versions import shape_of
from simulators.webhooks.events import Cause, Obj

_log = logging.getLogger(__name__)


class Api:
    """Answers requests to ``/v1`` from a simulator's account."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._world = simulator.world
        self._router = Router(resources.ROUTES)
        self._limit = _RateLimit(simulator.world.settings.rate_limit_per_s)

    async def __call__(self, request: Request) -> Response:
        """Read the request, execute it in one go, and answer."""
        exchange = Exchange(request, self._world.ids.new("req", 14))
        try:
            await exchange.read(self._world.version)
            self._limit.check(exchange.account)
            return await self._answer(exchange)
        except ApiError as error:
            return exchange.respond(self._refusal(exchange, error))
        finally:
            self._simulator.dispatcher.requests.pop(exchange.request_id, None)

    async def _answer(self, exchange: Exchange) -> Response:
        """Execute once, or give the stored answer again; faults may come in between."""
        address = old_requests.address(exchange.version, exchange.method, exchange.path)
        found = self._router.find(*address)
        if found is None:
            raise unrecognized_url(exchange.method, exchange.path)
        route, path = found
        raw = decode_form(form_text(exchange))
        raw = old_requests.parameters(exchange.version, route.method, route.path, raw)
        stored = self._begin(exchange, raw)
        keep: Answer | None = None
        try:
            struck = self._strike(exchange, path, raw)
            if refusal := struck.refusal:
                raise refusal
            if struck.resets_before:
                return Reset()
            await struck.wait("last")
            answer = stored or self._execute(exchange, route, path, raw, struck)
            keep = answer if answer.executed else None
        finally:
            if exchange.key is not None and stored is None:
                self._simulator.keys.finish(exchange.account, exchange.key, keep)
            self._simulator.save()
        await self._simulator.dispatcher.before_answer(exchange.request_id)
        await struck.wait("first")
        return _send(exchange.respond(answer), struck)

    def _begin(self, exchange: Exchange, raw: dict[str, Raw]) -> Answer | None:
        """Claim the idempotency key, if there is one; return the answer that it has already."""
        if exchange.key is None:
            return None
        return self._simulator.keys.begin(
            exchange.account,
            exchange.key,
            method=exchange.method,
            path=exchange.path,
            fingerprint=fingerprint(raw),
            now=self._world.account_now,
        )

    def _strike(
        self, exchange: Exchange, path: dict[str, str], raw: dict[str, Raw]
    ) -> RequestFaults:
        """Find the faults that hit this request."""
        labels = {
            "request": exchange.request_id,
            "idempotency_key": exchange.key,
            "method": exchange.method,
            "path": exchange.path,
        }
        facts = facts_of(self._world.store, labels, path, raw)
        self._simulator.dispatcher.requests[exchange.request_id] = facts
        return faults.strike(self._simulator.faults, facts, self._world.account_now)

    def _execute(
        self,
        exchange: Exchange,
        route: Route,
        path: dict[str, str],
        raw: dict[str, Raw],
        struck: RequestFaults,
    ) -> Answer:
        """Do what is asked; return the answer, which says whether execution had begun."""
        try:
            return self._do(exchange, route, path, raw, struck)
        except ApiError as error:
            return self._refusal(exchange, error)
        except Exception:  # noqa: BLE001 - a bug of ours is answered as a 500, and logged
            _log.exception("%s %s failed", route.method, route.path)
            return self._refusal(exchange, server_error(500))

    def _do(
        self,
        exchange: Exchange,
        route: Route,
        path: dict[str, str],
        raw: dict[str, Raw],
        struck: RequestFaults,
    ) -> Answer:
        params = route.params.read(raw)
        call = Call(path, params, exchange.path)
        cause = Cause(exchange.request_id, exchange.key)
        failure, kept = struck.failure or (None, False)
        with self._world.transaction(cause, modifies=route.method != "GET"):
            result = route.handler(self._world, call)
            expand = tuple(params.get("expand", []))
            shown = self._world.show(result, expand, exchange.version)
            if failure is not None and not kept:
                raise failure
        if failure is not None:
            raise failure
        return Answer(200, _encode(shown), exchange.request_id)

    def _refusal(self, exchange: Exchange, error: ApiError) -> Answer:
        """Return an error as an answer; the objects in it have the version's shape too."""
        body = error.body(exchange.log_url)
        if shape_of(exchange.version) != "current":
            for name, value in body["error"].items():
                stored = self._world.store.find(value["id"]) if isinstance(value, dict) else None
                if stored is not None:
                    body["error"][name] = self._world.show(stored, version=exchange.version)
        return Answer(
            error.status, _encode(body), exchange.request_id, error.executed, error.headers
        )


class _RateLimit:
    """Lets so many requests of one key through in a second of wall time; None lets all."""

    def __init__(self, per_s: int | None) -> None:
        self._per_s = per_s
        self._recent: dict[str, deque[float]] = {}

    def check(self, account: str) -> None:
        """Raise Stripe's 429 for one too many."""
        if self._per_s is None:
            return
        now = time.monotonic()
        recent = self._recent.setdefault(account, deque())
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= self._per_s:
            raise rate_limited()
        recent.append(now)


def _send(response: Response, struck: RequestFaults) -> Response:
    """Return the response as faults leave it."""
    if struck.resets_after:
        return Reset()
    cut = struck.cut(len(response.body))
    return response if cut is None else Truncated(response, cut)


def _encode(body: Obj) -> bytes:
    return json.dumps(body, indent=2).encode()
