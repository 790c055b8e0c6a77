"""What Schemathesis loads as its hooks: keys for each place, signed events, and what it reached.

The fuzzer runs in a process of its own, told by the environment: FUZZ holds the secrets as JSON,
FUZZ_REPORT names the file for the statuses that each operation answered.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from stripe import WebhookSignature

SECRETS: dict[str, str] = json.loads(os.environ.get("FUZZ", "{}"))
KEYS = "/api/v1/api-keys"
OWN = (KEYS, "/api/v1/credentials/", "/api/v1/billing/")
_statuses: defaultdict[str, Counter[int]] = defaultdict(Counter)


class Roles(requests.auth.AuthBase):
    """Sends each place what opens it: the operator's key, a customer's, a token, a signature."""

    def __init__(self) -> None:
        self._keys = [SECRETS.get("customer", "")]

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        path = urlsplit(str(request.url)).path
        if path.startswith("/test/"):
            request.headers["X-Test-Control-Token"] = SECRETS["control"]
        elif path == "/metrics":
            request.headers["Authorization"] = f"Bearer {SECRETS['metrics']}"
        elif path == "/api/webhooks/stripe":
            if "Stripe-Signature" in request.headers:
                _sign(request)
        elif path.startswith(OWN):
            request.headers["X-API-Key"] = self._keys[-1]
            request.register_hook("response", self._answered)
        elif path.startswith("/api/v1/"):
            request.headers["X-API-Key"] = SECRETS["operator"]
        return request

    def _answered(self, reply: requests.Response, **_: object) -> None:
        """Follow the fuzzer, which makes, replaces and revokes the keys that it uses."""
        if reply.status_code == 401 and reply.request.headers["X-API-Key"] == self._keys[-1]:
            self._keys = self._keys[:-1] or self._keys
        is_new = reply.status_code == 201 and "Idempotent-Replayed" not in reply.headers
        if is_new and urlsplit(reply.url).path.startswith(KEYS):
            self._keys.append(reply.json()["api_key"])


def _sign(request: requests.PreparedRequest) -> None:
    body: Any = request.body or b""
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    header = WebhookSignature.generate_signature_header(text, SECRETS["webhook"])
    request.headers["Stripe-Signature"] = header


if SECRETS:
    schemathesis.auth.set_from_requests(Roles())  # type: ignore[attr-defined]  # set at its import


@schemathesis.hook
def before_call(_: object, case: schemathesis.Case[Any], __: object) -> None:
    """Let random requests through to their effect: things that exist, cards that do, consent."""
    if not _is_positive(case):
        return
    if _operation(case) == "add_payment_method" and isinstance(case.body, dict):
        case.body["payment_method"] = "pm_card_visa"
        case.body["billing_consent"] = True
    if case.meta is not None and case.meta.phase.name.value != "stateful":
        _places.fill(case)


_OF_SUBSCRIPTION = frozenset(
    {"get_subscription", "change_subscription", "cancel_subscription", "resume_subscription"}
)


class _Places:
    """What is known to exist, put in place of every other random id."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {"customer_id": [], "payment_id": []}
        self._cards: list[tuple[str, str]] = []
        self._subscribed: list[str] = []
        self._fresh = SECRETS.get("fresh", "").split()
        self._turns = 0

    def learn(self, case: schemathesis.Case[Any], body: dict[str, Any]) -> None:
        """Note what an answer tells of."""
        for name, ids in self._known.items():
            if isinstance(body.get(name), str):
                ids.append(body[name])
        if _operation(case) == "add_payment_method" and "payment_method_id" in body:
            self._cards.append((case.path_parameters["customer_id"], body["payment_method_id"]))

        if _operation(case) == "subscribe":
            self._subscribed.append(case.path_parameters["customer_id"])

    def fill(self, case: schemathesis.Case[Any]) -> None:
        """Name things that exist; the newest, which nobody has closed or removed yet."""
        self._turns += 1
        if self._turns % 4 == 0:
            return
        if _operation(case) in {"set_plan", "close_customer"} and self._fresh:
            case.path_parameters["customer_id"] = self._fresh.pop()
            if isinstance(case.body, dict):
                case.body["plan"] = "payg"
            return
        if _operation(case) in _OF_SUBSCRIPTION and self._subscribed:
            case.path_parameters["customer_id"] = self._subscribed[-1]
            return
        if "payment_method_id" in case.path_parameters and self._cards:
            customer, card = self._cards.pop()
            case.path_parameters |= {"customer_id": customer, "payment_method_id": card}
            return
        for name, ids in self._known.items():
            if name in case.path_parameters and ids:
                case.path_parameters[name] = ids[-1]


_places = _Places()


def _operation(case: schemathesis.Case[Any]) -> str:
    return str(case.operation.definition.raw.get("operationId"))


def _is_positive(case: schemathesis.Case[Any]) -> bool:
    return case.meta is None or case.meta.generation.mode.is_positive


@schemathesis.hook
def after_call(_: object, case: schemathesis.Case[Any], response: Any) -> None:
    """Count the status of each operation, and learn what exists."""
    _statuses[case.operation.label][response.status_code] += 1
    if 200 <= response.status_code < 300 and response.headers["content-type"] == [
        "application/json"
    ]:
        _places.learn(case, response.json())


@schemathesis.check
def problem_documents(_: object, response: Any, case: schemathesis.Case[Any]) -> None:
    """Hold that every refusal is a problem document with a stable code and no trace of the code."""
    if response.status_code < 400:
        return
    kind = response.headers["content-type"][0]
    assert kind == "application/problem+json", kind
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["code"] in problem["type"]
    assert "Traceback" not in response.text
    if problem["code"] == "validation_failed":
        assert not _is_positive(case), "a request by the schema was refused by the schema"


def _write() -> None:
    if target := os.environ.get("FUZZ_REPORT"):
        Path(target).write_text(json.dumps(_statuses), encoding="utf-8")


atexit.register(_write)
