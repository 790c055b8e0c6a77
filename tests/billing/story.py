"""One customer's story that passes every failpoint, told by a client that survives a crash."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tests.billing.crashing import Herd
    from tests.billing.running import Service

_DEADLINE_S = 40.0
_numbers = itertools.count(1)


class Survivor:
    """Sends each request until it is answered for good, and replaces a process that died."""

    def __init__(self, service: Service, herd: Herd) -> None:
        self.service = service
        self._herd = herd
        self.deaths = 0
        self._has_spawned = bool(herd.alive)
        token = {"X-Test-Control-Token": service.env["BILLING_TEST_CONTROL_TOKEN"]}
        self._http = httpx.Client(base_url=service.url, timeout=5, trust_env=False)
        self._controls = httpx.Client(
            base_url=service.url, headers=token, timeout=5, trust_env=False
        )

    def ensure_alive(self) -> None:
        """Replace the one process if it has died."""
        if not self._herd.alive:
            self.deaths += self._has_spawned
            self._herd.spawn()
            self._has_spawned = True

    def send(
        self, method: str, path: str, json: object = None, *, key: str = "", **headers: str
    ) -> httpx.Response:
        """Send a request again and again, as a client does that needs to know."""
        if json is not None and method == "POST":
            headers["Idempotency-Key"] = f"story-{next(_numbers)}"
        if key:
            headers["X-API-Key"] = key
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline:
            self.ensure_alive()
            try:
                http = self._controls if path.startswith("/test/") else self._http
                reply = http.request(method, path, json=json, headers=headers)
            except httpx.TransportError:
                continue
            is_in_flight = reply.status_code == 409 and "in_flight" in reply.json()["code"]
            if not is_in_flight and reply.status_code not in {500, 503}:
                return reply
            self._let_leases_run_out()
        raise AssertionError(f"{method} {path} was never answered for good")

    def control(self, method: str, path: str, json: object = None) -> Any:
        """Use a test control."""
        return self.send(method, path, json).raise_for_status().json()

    def arm(self, name: str, action: str, nth: int = 1) -> None:
        """Arm a failpoint."""
        self.control("POST", "/test/failpoints", {"name": name, "action": action, "nth": nth})

    def has_acted(self, name: str) -> bool:
        """Tell whether a failpoint did what it was armed for."""
        armed = self.control("GET", "/test/failpoints")["armed"]
        return any(each["name"] == name and each["has_acted"] for each in armed)

    def drain(self) -> None:
        """Wait until nothing is owed, however often the process dies over it."""
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline:
            self.service.simulator.settle()
            if self.control("POST", "/test/drain", {"deadline_s": 1})["settled"]:
                return
            self._let_leases_run_out()
        raise AssertionError("never settled")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._controls.close()

    def _let_leases_run_out(self) -> None:
        """Move the service's time past every lease; a request that crashes is simply sent again."""
        try:
            now = self._controls.get("/test/clock").json()["now"]
            self._controls.post("/test/clock", json={"to": now + 120})
        except httpx.TransportError:
            self.ensure_alive()


def sign_up(teller: Survivor) -> tuple[str, str]:
    """Make a customer; give id and key."""
    body = {"email": f"story-{next(_numbers)}@example.com"}
    reply = teller.send("POST", "/api/v1/customers/onboard", body)
    assert reply.status_code == 201, reply.text
    return reply.json()["customer_id"], reply.json()["api_key"]


def add_card(teller: Survivor, customer_id: str, key: str) -> str:
    """Add a card; give its id."""
    body = {"payment_method": "pm_card_visa", "billing_consent": True}
    path = f"/api/v1/customers/{customer_id}/payment-methods"
    reply = teller.send("POST", path, body, key=key)
    assert reply.status_code == 201, reply.text
    found: str = reply.json()["payment_method_id"]
    return found


def tell(teller: Survivor) -> None:
    """Live through everything that the service does with Stripe, once."""
    customer_id, key = sign_up(teller)
    path = f"/api/v1/customers/{customer_id}"
    add_card(teller, customer_id, key)
    spare = add_card(teller, customer_id, key)
    outcomes = []
    for number in range(12):
        fix = teller.send("POST", "/api/v1/billing/track_fix", {"fix_id": f"f{number}"}, key=key)
        outcomes.append(fix.json()["outcome"])
    assert outcomes == ["credit"] * 10 + ["charged"] * 2
    subscribed = teller.send("POST", f"{path}/subscription", {"plan": "pro"}, key=key)
    assert subscribed.json()["code" if subscribed.status_code == 409 else "status"] in {
        "active",
        "already_subscribed",
    }
    teller.send("PATCH", f"{path}/subscription", {"quantity": 2}, key=key)
    removed = teller.send("DELETE", f"{path}/payment-methods/{spare}", key=key)
    assert removed.status_code in {200, 404}, removed.text
    charge = teller.send("GET", f"{path}/payments?filter=cause:f11", key=key).json()["data"][0]
    teller.service.simulator.official().v1.refunds.create({"charge": charge["stripe_id"]})
    teller.send("DELETE", f"{path}/subscription", key=key)
    teller.drain()
    teller.control("POST", "/test/reconcile")
    teller.drain()
