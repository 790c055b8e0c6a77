"""A whole service in this process, over a real Stripe simulator: with a defect, or with none."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import httpx
import structlog
from anyio.from_thread import start_blocking_portal
from pydantic import SecretStr
from stripe import WebhookSignature

from simulators.billing import defects, failpoints, logs
from simulators.billing.http.app import create_app
from tests.billing import capturing
from tests.billing.conftest import Tenant
from tests.billing.running import CONTROL_TOKEN, OPERATOR_KEY, WEBHOOK_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.from_thread import BlockingPortal
    from fastapi import FastAPI

    from simulators.billing.core import Core
    from simulators.billing.worker.loop import Worker
    from tests.billing.running import Service, Simulator

_numbers = itertools.count(1)
DAY_S = 86_400
METRICS = SecretStr("metrics-token-of-the-tests")


class _InProcess(httpx.BaseTransport):
    """Hands requests to an ASGI application on an event loop of its own."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self._asgi = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        reply = await self._asgi.handle_async_request(asked)
        body = b"".join([part async for part in cast("httpx.AsyncByteStream", reply.stream)])
        return httpx.Response(reply.status_code, headers=reply.headers, content=body)


@dataclass
class Shop:
    """The service: its core, its application, and what was logged."""

    core: Core
    app: FastAPI
    simulator: Simulator
    portal: BlockingPortal
    stderr: io.StringIO = field(default_factory=io.StringIO)

    @property
    def worker(self) -> Worker:
        """Give the worker, whose threads do not run: `work` steps it."""
        found: Worker = self.app.state.worker
        return found

    def client(self, key: str | None = None, **headers: str) -> httpx.Client:
        """Give a client that sends a key."""
        if key:
            headers["X-API-Key"] = key
        transport = _InProcess(self.app, self.portal)
        return httpx.Client(transport=transport, base_url="http://shop", headers=headers)

    @property
    def operator(self) -> httpx.Client:
        """Give a client that sends the operator's key."""
        return self.client(OPERATOR_KEY)

    @property
    def controls(self) -> httpx.Client:
        """Give a client that sends the test controls' token."""
        return self.client(**{"X-Test-Control-Token": CONTROL_TOKEN})

    def tenant(self, card: str | None = None, *, email: str | None = None) -> Tenant:
        """Make a customer, with a card if one is named."""
        email = email or f"shop-{next(_numbers)}@example.com"
        reply = self.client().post("/api/v1/customers/onboard", json={"email": email})
        assert reply.status_code == 201, reply.text
        found = reply.json()
        http = self.client(found["api_key"])
        service = cast("Service", self)  # as much of one as a tenant asks for
        made = Tenant(found["customer_id"], found["stripe_customer_id"], email, http, service)
        if card:
            assert made.add_card(card).status_code == 201
        return made

    def payer(self) -> Tenant:
        """Make a customer with a card and no credits."""
        made = self.tenant("pm_card_visa")
        self.adjust(made, -10)
        return made

    def subscriber(self, quantity: int = 1) -> Tenant:
        """Make a customer with a subscription."""
        made = self.tenant("pm_card_visa")
        assert made.subscribe(quantity).status_code == 201
        return made

    def adjust(self, tenant: Tenant, units: int) -> httpx.Response:
        """Add or take credits as the operator does."""
        body = {"units": units, "reason": "test"}
        path = f"/api/v1/operator/customers/{tenant.id}/adjustments"
        return self.operator.post(path, json=body)

    def refund(self, payment: str, amount_minor: int | None, key: str = "") -> httpx.Response:
        """Give money back as the operator does."""
        body = None if amount_minor is None else {"amount_minor": amount_minor}
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/api/v1/operator/payments/{payment}/refund"
        return self.operator.post(path, json=body, headers=headers)

    def taken(self, tenant: Tenant) -> list[int]:
        """Give every amount that moved at Stripe, oldest first."""
        moved = self.simulator.journal(tenant.stripe_id)
        return [each["amount_minor"] for each in moved if each["state"] == "succeeded"]

    def events(self, tenant: Tenant, kind: str) -> list[dict[str, Any]]:
        """Read Stripe's events of a kind about a customer, oldest first."""
        listed = self.simulator.official().v1.events.list({"type": kind, "limit": 100})
        found = [json.loads(str(each)) for each in listed.data]
        return [e for e in found[::-1] if e["data"]["object"].get("customer") == tenant.stripe_id]

    def deliver(self, event: dict[str, Any], header: str | None = "signed") -> httpx.Response:
        """Deliver an event as Stripe does."""
        body = json.dumps(event, indent=2)
        if header == "signed":
            header = WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET)
        headers = {} if header is None else {"Stripe-Signature": header}
        return self.client().post("/api/webhooks/stripe", content=body.encode(), headers=headers)

    def deliver_all(self, tenant: Tenant, *kinds: str) -> None:
        """Deliver every event of these kinds about a customer, and give them their effects."""
        for kind in kinds:
            for event in self.events(tenant, kind):
                assert self.deliver(event).status_code == 200
        self.work()

    def work(self) -> None:
        """Give every event that is due its effect."""
        while self.worker.give_effects():
            pass

    def pass_time(self, seconds: int) -> None:
        """Move the service's clock, and no other."""
        with self.controls as controls:
            now = controls.get("/test/clock").json()["now"]
            controls.post("/test/clock", json={"to": now + seconds}).raise_for_status()

    def to(self, at: int) -> None:
        """Move Stripe's clock, then the service's."""
        reply = self.simulator.http.post("/simulator/clock", json={"to": at, "deadline_s": 20})
        reply.raise_for_status()
        with self.controls as controls:
            controls.post("/test/clock", json={"to": at}).raise_for_status()

    def renew(self, tenant: Tenant) -> None:
        """Let the period end at Stripe, and what is due then be paid, or not."""
        self.follow(tenant, tenant.get("/subscription")["current_period_end"] + DAY_S // 2)

    def follow(self, tenant: Tenant, to: int) -> None:
        """Let time go by at Stripe, and tell the service what came of it."""
        self.to(to)
        self.deliver_all(
            tenant,
            "customer.subscription.updated",
            "invoice.payment_failed",
            "invoice.paid",
            "customer.subscription.deleted",
        )

    def let_card_fail(self, tenant: Tenant) -> None:
        """Have what is due from now on be declined."""
        tenant.add_card("pm_card_chargeCustomerFail").raise_for_status()
        stripe_id = tenant.get("/subscription")["subscription_id"]
        card = tenant.get("/payment-methods")["data"][0]["payment_method_id"]
        update = self.simulator.official().v1.subscriptions.update
        update(stripe_id, {"default_payment_method": card})

    def scrape(self) -> str:
        """Read the metrics; the service needs `metrics_token=METRICS`."""
        bearer = f"Bearer {METRICS.get_secret_value()}"
        reply = self.client(Authorization=bearer).get("/metrics")
        return reply.raise_for_status().text

    def fault(self, kind: str, tenant: Tenant, **told: Any) -> None:
        """Have the simulator fail at what concerns a customer."""
        fault = {"kind": kind, "customer": tenant.stripe_id, "count": 1, **told}
        self.simulator.http.post("/simulator/faults", json=fault).raise_for_status()


def at_once(count: int, request: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """Send requests that start together."""
    barrier = threading.Barrier(count)

    def send(number: int) -> httpx.Response:
        barrier.wait(20)
        return request(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))


@contextlib.contextmanager
def open_shop(core: Core, simulator: Simulator, *names: str) -> Iterator[Shop]:
    """Open a service that makes these mistakes."""
    stderr = io.StringIO()
    with (
        capturing.paused() if names else contextlib.nullcontext(),
        contextlib.redirect_stderr(stderr),
        _logging(),
        _failpoints(core),
        defects.switched_on(names, core.settings, core.database) as overlay,
        start_blocking_portal() as portal,
    ):
        app = create_app(core)
        overlay.install(app)
        try:
            yield Shop(core, app, simulator, portal, stderr)
        finally:
            app.state.lane.close()


@contextlib.contextmanager
def _failpoints(core: Core) -> Iterator[None]:
    """Let failpoints be armed, for as long as this lasts."""
    failpoints.install(core.settings, "test")
    try:
        yield
    finally:
        failpoints.install(core.settings.model_copy(update={"test_control_token": None}), "test")


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Log as the service does, for as long as this lasts."""
    logs.configure("info")
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.reset_defaults()
