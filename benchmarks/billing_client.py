"""What the benchmarks of the billing service ask it: two customers, and each kind of request."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Self

import httpx

from harness import signing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.arrivals import Act
    from harness.stack import Addresses

TIMEOUT_S = 60.0
SETTLE_S = 30.0
# Shorter than the service keeps an idle connection, so that none is used as it closes.
KEEPALIVE_S = 2.0


class Client:
    """Asks a running stack: as one customer with credits, and as one who pays for each fix."""

    def __init__(self, where: Addresses) -> None:
        self._where = where
        self._numbers = itertools.count()
        limits = httpx.Limits(max_connections=500, keepalive_expiry=KEEPALIVE_S)
        self._http = httpx.AsyncClient(
            base_url=where.billing_url, limits=limits, timeout=TIMEOUT_S, trust_env=False
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def prepare(self) -> None:
        """Make the two customers; whoever pays has a card and no credits."""
        self._rich = await self._customer()
        self._payer = await self._customer()
        card = {"payment_method": "pm_card_visa", "billing_consent": True}
        path = f"/api/v1/customers/{self._payer['customer_id']}"
        added = await self._post(f"{path}/payment-methods", self._payer["api_key"], card)
        self._card = str(added["payment_method_id"])
        taken = {"units": -int(str(added["credit_balance"])), "reason": "benchmark"}
        path = f"/api/v1/operator/customers/{self._payer['customer_id']}/adjustments"
        await self._post(path, self._where.operator_key, taken)

    def acts(self) -> dict[str, Act]:
        """Give each kind of request by name; what leaves work behind comes last."""
        return {
            "health": self._health,
            "usage summary": self._usage,
            "webhook acknowledgement": self._webhook,
            "track_fix with a credit": lambda: self._fix(self._rich),
            "a charge at the simulator itself": self._charge_at_stripe,
            "track_fix with a charge": self.charge,
        }

    async def charge(self) -> object:
        """Track a fix that has to be paid for."""
        return await self._fix(self._payer)

    async def hanging(self) -> int:
        """Count the requests that a slow Stripe has received since it is slow."""
        told = _ok(await self._http.get(f"{self._where.stripe_url}/simulator/faults"))
        return sum(fault["hits"] for fault in told["faults"])  # type: ignore[attr-defined]  # a list

    async def slow_down(self, seconds: float) -> None:
        """Let Stripe take so long for each answer."""
        fault = {"kind": "latency", "path": "/v1/*", "seconds": seconds, "count": 10_000}
        _ok(await self._http.post(f"{self._where.stripe_url}/simulator/faults", json=fault))

    async def speed_up(self) -> None:
        """Let Stripe answer at once again."""
        _ok(await self._http.delete(f"{self._where.stripe_url}/simulator/faults"))

    async def quiet(self) -> None:
        """Wait until Stripe has delivered its events."""
        settle = f"{self._where.stripe_url}/simulator/settle"
        told = _ok(await self._http.post(settle, json={"deadline_s": SETTLE_S}))
        if not told["settled"]:
            raise TimeoutError(f"Stripe's events are not delivered after {SETTLE_S:g} s: {told}")

    async def _customer(self) -> dict[str, str]:
        body = {"email": f"bench-{next(self._numbers)}@example.com"}
        told = await self._post("/api/v1/customers/onboard", None, body)
        return {name: str(value) for name, value in told.items()}

    async def _health(self) -> object:
        return _ok(await self._http.get("/health"))

    async def _usage(self) -> object:
        path = f"/api/v1/customers/{self._rich['customer_id']}/usage"
        return _ok(await self._http.get(path, headers=_key(self._rich["api_key"])))

    async def _fix(self, customer: Mapping[str, str]) -> object:
        body = {"fix_id": f"fix-{next(self._numbers)}"}
        return await self._post("/api/v1/billing/track_fix", customer["api_key"], body)

    async def _webhook(self) -> object:
        about = {"object": {"id": "cus_bench", "object": "customer"}}
        event = {"id": f"evt_{next(self._numbers)}", "type": "customer.updated", "data": about}
        raw = json.dumps(event).encode()
        signed = signing.header(raw, self._where.webhook_secret, int(time.time()))
        headers = {"Stripe-Signature": signed}
        return _ok(await self._http.post(self._where.webhook_url, content=raw, headers=headers))

    async def _charge_at_stripe(self) -> object:
        form = {
            "amount": "2900",
            "currency": "usd",
            "customer": self._payer["stripe_customer_id"],
            "payment_method": self._card,
            "confirm": "true",
            "off_session": "true",
        }
        headers = {"Authorization": f"Bearer {self._where.stripe_api_key}"}
        url = f"{self._where.stripe_url}/v1/payment_intents"
        return _ok(await self._http.post(url, data=form, headers=headers))

    async def _post(
        self, path: str, key: str | None, body: Mapping[str, object]
    ) -> dict[str, object]:
        return _ok(await self._http.post(path, json=body, headers=_key(key) if key else {}))


def _key(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


def _ok(reply: httpx.Response) -> dict[str, object]:
    if reply.is_error:
        raise RuntimeError(f"{reply.request.method} {reply.url}: {reply.status_code} {reply.text}")
    found: dict[str, object] = reply.json()
    return found
