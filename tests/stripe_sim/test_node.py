"""The official Node package: it verifies what the simulator signs, and can drive it."""

import base64
import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import signing
from tests.stripe_sim.breaking import add_fault, charged
from tests.stripe_sim.conftest import KEY, Account, Receiver

FOLDER = Path(__file__).parent / "node"
PACKAGE = Path(__file__).parents[2] / "build" / "stripe-node"
SECRET = "whsec_node"


@pytest.fixture
def judge() -> Callable[[Account, list[tuple[bytes, str, str]]], dict[str, Any]]:
    """Return the way to ask the Node package; skip where it was not installed (see .ci/run)."""
    if not (PACKAGE / "node_modules" / "stripe").is_dir():
        reason = f"npm has not installed {FOLDER.name}/package.json into {PACKAGE.name}"
        if os.environ.get("HARNESS_REQUIRE_PROGRAMS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    def ask(account: Account, cases: list[tuple[bytes, str, str]]) -> dict[str, Any]:
        told = [
            {"body": base64.b64encode(body).decode(), "header": header, "secret": secret}
            for body, header, secret in cases
        ]
        answer = subprocess.run(
            ["node", str(FOLDER / "judge.cjs"), str(PACKAGE)],
            input=json.dumps({"cases": told, "url": account.url, "key": KEY}),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert answer.returncode == 0, answer.stderr
        judged: dict[str, Any] = json.loads(answer.stdout)
        return judged

    return ask


Judge = Callable[[Account, list[tuple[bytes, str, str]]], dict[str, Any]]


@pytest.mark.program("node")
def test_node_verifies_deliveries_and_survives_faults(
    account: Account, open_receiver: Callable[..., Receiver], judge: Judge
) -> None:
    """Deliveries with one secret and with two pass; its client retries a reset and pays once."""
    receiver = open_receiver()
    params: Any = {"url": receiver.url, "enabled_events": ["*"]}
    endpoint = account.stripe.webhook_endpoints.create(params)
    account.stripe.customers.create({"name": "Zoë ☕"})
    account.settle()
    path = f"/simulator/webhook_endpoints/{endpoint.id}/roll_secret"
    new = account.raw.post(path, json={"expires_in_s": 60}).json()["secret"]
    account.stripe.customers.create({"name": "x"})
    account.settle()
    old, signed = str(endpoint.secret), [(b, h["stripe-signature"]) for h, b in receiver.received]
    cases = [(*signed[0], old), (*signed[0], new), (*signed[1], old), (*signed[1], new)]
    add_fault(account, "reset", method="POST", effect="kept")
    judged = judge(account, cases)
    assert judged["verdicts"] == [True, False, True, True]
    assert judged["intent"]["status"] == "succeeded"
    assert charged(account) == 2_500


def generated(seed: int, now: int) -> list[tuple[bytes, str, str]]:
    """Return headers from right to garbage, over bodies of any bytes that are UTF-8."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    forges = (
        signing.header,
        signing.wrong_secret,
        signing.only_v0,
        signing.two_v1_one_right,
        signing.shifted_timestamp,
    )
    cases = []
    for _ in range(400):
        text = "".join(chance.choice('{}"aé☕\n0 ') for _ in range(chance.randrange(60)))
        when = now - chance.choice([0, 1, 100, 280, 320, 1_000, -200])
        header = chance.choice(forges)(text.encode(), SECRET, when)
        if not chance.randrange(4):
            header = chance.choice(
                [header[:-1], header.replace("v1", "v2"), f"x=1,{header}", "t=1"]
            )
        cases.append((text.encode(), header, SECRET))
    return cases


@pytest.mark.program("node")
def test_node_agrees_with_our_verifier(account: Account, judge: Judge) -> None:
    """On hundreds of generated headers and bodies both say the same."""
    now = int(time.time())
    cases = generated(7, now)

    def ours(body: bytes, header: str, secret: str) -> bool:
        try:
            signing.verify(body, header, secret, now=now)
        except signing.SignatureError:
            return False
        return True

    expected = [ours(*case) for case in cases]
    assert judge(account, cases)["verdicts"] == expected
    assert 50 < sum(expected) < 350
