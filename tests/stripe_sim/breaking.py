"""Steps that tests of faults have in common."""

from typing import Any

import httpx

from tests.stripe_sim.conftest import Account

CONFIRMED = {
    "amount": "2500",
    "currency": "usd",
    "confirm": "true",
    "payment_method": "pm_card_visa",
}


def add_fault(account: Account, kind: str, **said: Any) -> dict[str, Any]:
    """Put a fault into force."""
    answer = account.raw.post("/simulator/faults", json={"kind": kind, **said})
    assert answer.status_code == 201, answer.text
    fault: dict[str, Any] = answer.json()
    return fault


def fault_log(account: Account) -> list[dict[str, Any]]:
    """Return the record of what was hit."""
    log: list[dict[str, Any]] = account.raw.get("/simulator/faults/log").json()["log"]
    return log


def pay(account: Account, key: str | None = None, **form: str) -> httpx.Response:
    """Make and confirm a payment of 2500."""
    headers = {"Idempotency-Key": key} if key else {}
    return account.raw.post("/v1/payment_intents", data=CONFIRMED | form, headers=headers)


def charged(account: Account) -> int:
    """Return how much the journal says was taken."""
    balance: int = account.journal()["balances"].get("usd", 0)
    return balance
