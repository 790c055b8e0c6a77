"""A Stripe small enough to read, handed to the official client as its transport.

It keeps idempotency keys as Stripe does, and can be told what goes wrong with the next request.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

import stripe

if TYPE_CHECKING:
    from collections.abc import Mapping

Fault = Literal[
    "lost_request",  # a timeout, and Stripe never saw the request
    "lost_answer",  # a timeout, and Stripe has done it
    "stored_500",  # Stripe failed, keeps the answer under the key, and has done nothing
    "late_500",  # the same, but it was done
    "busy",  # 409: another request under this key is under way
    "rate_limited",
    "nonsense",  # done, and the answer is not JSON
]


class FakeStripe(stripe.HTTPClient):
    """Customers, cards and payment intents; every card pays but those it is told to decline."""

    name = "fake"

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.intents: dict[str, dict[str, Any]] = {}
        self.faults: deque[Fault | None] = deque()
        self.declines: deque[str] = deque()
        self.down = False
        self._stored: dict[str, tuple[int, bytes]] = {}
        self._number = itertools.count(1)

    @property
    def taken_minor(self) -> int:
        """Give all money taken."""
        paid = [i for i in self.intents.values() if i["status"] == "succeeded"]
        return sum(int(i["amount"]) for i in paid)

    def sent(self, method: str, path: str) -> list[dict[str, str]]:
        """Give the parameters of every request of that kind."""
        return [params for m, p, params in self.requests if (m, p) == (method, path)]

    def close(self) -> None:
        """Nothing is open."""

    def request(  # type: ignore[override]  # the package's own clients give bytes, too
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        if self.down:
            raise _lost()
        path = urlsplit(url).path
        raw = parse_qs(post_data or urlsplit(url).query)
        params = {name: values[0] for name, values in raw.items()}
        verb = method.upper()
        self.requests.append((verb, path, params))
        is_charge = verb == "POST" and path == "/v1/payment_intents"
        fault = self.faults.popleft() if is_charge and self.faults else None
        key = (headers or {}).get("Idempotency-Key", "") if verb == "POST" else ""
        return self._faulty(fault, key, verb, path, params)

    def _faulty(
        self, fault: Fault | None, key: str, verb: str, path: str, params: dict[str, str]
    ) -> tuple[bytes, int, Mapping[str, str]]:
        if fault == "lost_request":
            raise _lost()
        if fault == "busy":
            return _error(409, "idempotency_error", "idempotency_key_in_use"), 409, {}
        if fault == "rate_limited":
            return _error(429, "invalid_request_error", "rate_limit"), 429, {}
        if key in self._stored:
            status, body = self._stored[key]
            return body, status, {"Idempotent-Replayed": "true"}
        if fault == "stored_500":
            status, body = 500, _error(500, "api_error", "broken")
        else:
            status, body = self._answer(verb, path, params)
            if fault == "late_500":
                status, body = 500, _error(500, "api_error", "broken")
        if key:
            self._stored[key] = (status, body)
        if fault == "lost_answer":
            raise _lost()
        return (b"<html>" if fault == "nonsense" else body), status, {}

    def _answer(self, verb: str, path: str, params: dict[str, str]) -> tuple[int, bytes]:
        parts = path.removeprefix("/v1/").split("/")
        if parts[0] == "payment_intents":
            return self._intents(verb, parts[1:], params)
        match verb, parts:
            case "POST", ["customers"]:
                return _ok({"id": self._id("cus"), "object": "customer"})
            case "POST", ["customers", _]:
                return _ok({"id": "cus", "object": "customer"})
            case "POST", ["payment_methods", _, "attach"]:
                card = {"brand": "visa", "last4": "4242", "exp_month": 1, "exp_year": 2040}
                return _ok({"id": self._id("pm"), "object": "payment_method", "card": card})
        return 404, _error(404, "invalid_request_error", "resource_missing")

    def _intents(self, verb: str, parts: list[str], params: dict[str, str]) -> tuple[int, bytes]:
        match verb, parts:
            case "POST", []:
                return self._charge(params)
            case "POST", [intent, "cancel"]:
                return self._cancel(self.intents[intent])
            case "GET", [intent]:
                return _ok(self.intents[intent])
        found = list(self.intents.values())[::-1]
        return _ok({"object": "list", "data": found, "has_more": False, "url": "/"})

    def _charge(self, params: dict[str, str]) -> tuple[int, bytes]:
        found = {
            "id": self._id("pi"),
            "object": "payment_intent",
            "amount": int(params["amount"]),
            "currency": params["currency"],
            "status": "succeeded",
            "latest_charge": self._id("ch"),
            "client_secret": "pi_secret_of_the_customer",
            "metadata": {"ledger_id": params["metadata[ledger_id]"]},
            "last_payment_error": None,
        }
        self.intents[str(found["id"])] = found
        if not self.declines:
            return _ok(found)
        code = self.declines.popleft()
        found |= {"status": "requires_payment_method", "last_payment_error": {"code": code}}
        return 402, _error(402, "card_error", code, payment_intent=found)

    def _cancel(self, found: dict[str, Any]) -> tuple[int, bytes]:
        if found["status"] == "succeeded":
            code = "payment_intent_unexpected_state"
            return 400, _error(400, "invalid_request_error", code)
        found["status"] = "canceled"
        return _ok(found)

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._number):06}"


def _lost() -> stripe.APIConnectionError:
    made: stripe.APIConnectionError = stripe.APIConnectionError("lost")  # type: ignore[no-untyped-call]  # untyped there
    return made


def _ok(document: dict[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps(document).encode()


def _error(status: int, kind: str, code: str, **extra: object) -> bytes:
    error = {"type": kind, "code": code, "message": f"{status} {code}", **extra}
    return json.dumps({"error": error}).encode()
