"""Faults of requests: what the caller sees, what became of the effect, what a retry gets."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from simulators.stripe.app import create_app
from simulators.stripe.settings import Settings
from tests.stripe_sim.breaking import CONFIRMED, add_fault, charged, fault_log, pay
from tests.stripe_sim.conftest import KEY, Account, eventually


@pytest.mark.parametrize(
    ("effect", "taken", "replayed"),
    [("none", 2_500, None), ("undone", 0, "true"), ("kept", 2_500, "true")],
)
def test_a_500_is_remembered_by_its_key_once_execution_had_begun(
    account: Account, effect: str, taken: int, replayed: str | None
) -> None:
    """A retry under the key gets the stored 500 and is told to stop, or is executed at last."""
    add_fault(account, "error", path="/v1/payment_intents", effect=effect)
    first, second = pay(account, "k"), pay(account, "k")
    assert first.status_code == 500
    assert first.json()["error"]["type"] == "api_error"
    assert "stripe-should-retry" not in first.headers
    assert second.status_code == (500 if replayed else 200)
    assert second.headers.get("idempotent-replayed") == replayed
    assert second.headers.get("stripe-should-retry") == ("false" if replayed else None)
    assert charged(account) == taken
    [entry] = fault_log(account)
    assert (entry["idempotency_key"], entry["request"]) == ("k", first.headers["request-id"])


def test_an_undone_500_leaves_nothing(account: Account) -> None:
    """Neither objects nor events nor money remain of a request that failed."""
    add_fault(account, "error", effect="undone", method="POST")
    assert pay(account).status_code == 500
    assert account.event_types() == []
    assert account.raw.get("/v1/payment_intents").json()["data"] == []


@pytest.mark.parametrize("kind", ["rate_limit", "lock_timeout", "conflict"])
def test_a_refusal_is_never_remembered(account: Account, kind: str) -> None:
    """429 and 409 come before anything is done, so the same key works afterwards."""
    add_fault(account, kind)
    first = pay(account, "k")
    code = {"conflict": "idempotency_key_in_use"}.get(kind, kind)
    assert first.status_code == (409 if kind == "conflict" else 429)
    assert first.json()["error"]["code"] == code
    wanted = "true" if kind == "lock_timeout" else None
    assert first.headers.get("stripe-should-retry") == wanted
    assert charged(account) == 0
    assert pay(account, "k").status_code == 200
    assert charged(account) == 2_500


def test_the_official_package_retries_and_pays_once(account: Account) -> None:
    """Reset after the effect, then a lock, then a 503: three retries, one key, one charge."""
    add_fault(account, "reset", effect="kept")
    add_fault(account, "lock_timeout", nth=2)
    add_fault(account, "error", nth=3, status=503, effect="none")
    client = stripe.StripeClient(
        KEY, base_addresses={"api": account.url}, max_network_retries=3, http_client=account.http
    )
    account.http._sleep_time_seconds = lambda *_args, **_more: 0.0  # type: ignore[method-assign]  # no wall time in tests
    intent = client.v1.payment_intents.create(
        {"amount": 2_500, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
    )
    assert intent.status == "succeeded"
    assert charged(account) == 2_500
    log = fault_log(account)
    assert [line["kind"] for line in log] == ["reset", "lock_timeout", "error"]
    assert len({line["idempotency_key"] for line in log}) == 1


@pytest.mark.parametrize(("effect", "taken"), [("none", 0), ("kept", 2_500)])
def test_a_reset_connection(account: Account, effect: str, taken: int) -> None:
    """The caller sees a reset, and cannot know whether it was before or after the effect."""
    add_fault(account, "reset", effect=effect)
    with pytest.raises(httpx.ReadError, match="reset"):
        pay(account)
    assert charged(account) == taken
    assert pay(account).status_code == 200


@pytest.mark.parametrize("size", [None, 0, 10])
def test_a_truncated_answer(account: Account, size: int | None) -> None:
    """The headers promise more than comes; the effect is there."""
    add_fault(account, "truncate", **({} if size is None else {"bytes": size}))
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|closed"):
        pay(account)
    assert charged(account) == 2_500


@pytest.mark.parametrize(("effect", "taken"), [("last", 0), ("first", 2_500)])
def test_latency_leaves_the_caller_in_the_dark(account: Account, effect: str, taken: int) -> None:
    """While the answer waits, the effect is there already, or not yet; others are not delayed."""
    add_fault(account, "latency", seconds=30, effect=effect, path="/v1/payment_intents")
    with pytest.raises(httpx.ReadTimeout):
        account.raw.post("/v1/payment_intents", data=CONFIRMED, timeout=0.3)
    assert eventually(lambda: charged(account) == taken)


def test_a_request_under_way_holds_its_key(account: Account) -> None:
    """A second request under the key of one that takes long is a 409, and tells nothing else."""
    add_fault(account, "latency", seconds=1.5)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(pay, account, "k")
        assert eventually(lambda: bool(fault_log(account)))
        second = pay(account, "k")
        assert second.status_code == 409
        assert second.json()["error"]["code"] == "idempotency_key_in_use"
        assert slow.result().status_code == 200
    assert charged(account) == 2_500


def test_latencies_are_drawn_from_what_was_recorded(account: Account) -> None:
    """Each hit draws one of the samples, and the log says which."""
    samples = [0.001, 0.002, 0.003]
    add_fault(account, "latency", samples_s=samples, count=12, seed=5)
    for _ in range(12):
        account.raw.get("/v1/customers")
    drawn = [line["latency_s"] for line in fault_log(account)]
    assert set(drawn) == set(samples)


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"method": "POST", "path": "/v1/payment_intents"}, [0, 3]),
        ({"path": "/v1/customers*"}, [1, 2]),
        ({"body": {"amount": "7??"}}, [3]),
        ({"metadata": {"order": "4*"}}, [0]),
        ({"customer": "CUSTOMER"}, [2, 3]),
        ({"customer": "CUSTOMER", "method": "POST"}, [3]),
        ({"idempotency_key": "key-*"}, [0]),
        ({"nth": 2, "count": 2}, [1, 2]),
        ({"path": "/v1/refunds"}, []),
    ],
)
def test_which_calls_are_hit(account: Account, match: dict[str, Any], hit: list[int]) -> None:
    """Method, path, form, metadata, key and customer select; so do nth and count."""
    customer = account.customer(None)
    fault = {n: customer if v == "CUSTOMER" else v for n, v in match.items()}
    add_fault(account, "rate_limit", **{"count": 10, **fault})
    statuses = [
        pay(account, "key-1", **{"metadata[order]": "42"}).status_code,
        account.raw.get("/v1/customers").status_code,
        account.raw.get(f"/v1/customers/{customer}").status_code,
        pay(account, amount="700", customer=customer).status_code,
    ]
    assert [index for index, status in enumerate(statuses) if status == 429] == hit


def test_a_customer_is_known_by_what_is_theirs(account: Account) -> None:
    """A call about somebody's subscription or invoice concerns that customer."""
    customer, other = account.customer(), account.customer()
    items: Any = [{"price": account.price()}]
    mine = account.stripe.subscriptions.create({"customer": customer, "items": items})
    theirs = account.stripe.subscriptions.create({"customer": other, "items": items})
    add_fault(account, "lock_timeout", customer=customer, count=5)
    paths = [f"subscriptions/{mine.id}", f"invoices/{mine.latest_invoice}"]
    assert [account.raw.get(f"/v1/{path}").status_code for path in paths] == [429, 429]
    assert account.raw.get(f"/v1/subscriptions/{theirs.id}").status_code == 200
    assert account.raw.get(f"/v1/subscription_items?subscription={mine.id}").status_code == 429


def hits_of_a_run(seed: int, rate: float) -> list[int]:
    """Return which of forty requests a fresh simulator of this seed refuses."""
    import asyncio

    async def run() -> list[int]:
        app = create_app(Settings(seed=seed, running=False))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://s", auth=(KEY, "")
        ) as client:
            await client.post("/simulator/faults", json={"kind": "rate_limit", "rate": rate})
            answers = [await client.get("/v1/customers") for _ in range(40)]
        return [index for index, answer in enumerate(answers) if answer.status_code == 429]

    return asyncio.run(run())


def test_the_same_seed_hits_the_same_calls() -> None:
    """A rate is a chance for each match, drawn from the seed alone."""
    first = hits_of_a_run(3, 0.3)
    assert first == hits_of_a_run(3, 0.3)
    assert first != hits_of_a_run(4, 0.3)
    assert 4 <= len(first) <= 22
    assert (hits_of_a_run(3, 0.0), len(hits_of_a_run(3, 1.0))) == ([], 40)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({}, "kind must be one of"),
        ({"kind": "nonsense"}, "kind must be one of"),
        ({"kind": "error", "status": 200}, "status must be a whole number from 500 to 599"),
        ({"kind": "error", "colour": 1, "rate": 2}, "colour is unknown to error; rate must be"),
        ({"kind": "latency"}, "needs seconds or samples_s"),
        ({"kind": "latency", "samples_s": []}, "samples_s must be a list of seconds"),
        ({"kind": "rate_limit", "event_type": "*"}, "event_type is unknown"),
        ({"kind": "twin", "webhook_endpoint": "we_1"}, "webhook_endpoint is unknown"),
        ({"kind": "api_version", "version": "2011-01-01"}, "a supported API version"),
        ({"kind": "api_version"}, "needs version"),
        ({"kind": "hold", "count": True}, "count must be"),
        ({"kind": "hold", "metadata": {"a": 1}}, "metadata must be an object of texts"),
        ({"kind": "delay", "seconds": 0.5}, "seconds must be a whole number"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(
    account: Account, said: dict[str, Any], sentence: str
) -> None:
    """Everything that is wrong with it is told in one sentence, and nothing is in force."""
    answer = account.raw.post("/simulator/faults", json=said)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
    both = account.raw.post("/simulator/faults", json={"faults": [{"kind": "hold"}, said]})
    assert both.status_code == 400
    assert account.raw.get("/simulator/faults").json() == {"faults": []}


def test_faults_are_listed_counted_and_removed(account: Account) -> None:
    """A list tells what each has met and hit; removed ones hit nothing more."""
    fault = add_fault(account, "rate_limit", path="/v1/customers", count=1)
    for _ in range(3):
        account.raw.get("/v1/customers")
    [listed] = account.raw.get("/simulator/faults").json()["faults"]
    assert (listed["id"], listed["matched"], listed["hits"]) == (fault["id"], 3, 1)
    add_fault(account, "rate_limit", count=100)
    assert account.raw.delete("/simulator/faults").json()["released"] == 0
    assert account.raw.get("/v1/customers").status_code == 200
    assert account.raw.delete("/simulator/faults/fault_9").status_code == 404


def test_a_rate_limit_can_be_set(open_account: Callable[..., Account]) -> None:
    """With a limit, one request too many within a second is Stripe's 429; keys are apart."""
    account = open_account(Settings(seed=1, running=False, rate_limit_per_s=3))
    answers = [account.raw.get("/v1/customers") for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json()["error"]["code"] == "rate_limit"
    assert refused[0].headers["stripe-rate-limited-reason"]
    other = account.raw.get("/v1/customers", auth=("sk_test_other", ""))
    assert other.status_code == 200


def test_commands_control_a_running_simulator(
    account: Account, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """``faults add|list|log|release|remove`` do what the admin API does."""
    from simulators.stripe.__main__ import main

    def run(*words: str) -> Any:
        assert main(["faults", "--url", account.url, *words]) == 0
        return json.loads(capsys.readouterr().out)

    samples = tmp_path / "recorded.txt"
    samples.write_text("# seconds, times\n0.001 3\n0.002\n")
    made = run("add", "latency", "--samples", str(samples), "--metadata", "a=b*", "--rate", "0.5")
    assert made["samples_s"] == [0.001, 0.001, 0.001, 0.002]
    run("add", "error", "--path", "/v1/customers", "--set", "status=502", "--set", "effect=kept")
    assert account.raw.get("/v1/customers").status_code == 502
    assert [fault["kind"] for fault in run("list")["faults"]] == ["latency", "error"]
    assert [line["kind"] for line in run("log")["log"]] == ["error"]
    assert run("release", made["id"]) == {"released": 0}
    assert run("remove")["removed"] == [made["id"], "fault_2"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--url", "http://127.0.0.1:9", "list"], "no simulator answers"),
        (["add", "error", "--body", "amount"], "must be NAME=VALUE"),
        (["add", "latency", "--samples", "/nowhere"], "no list of latencies"),
    ],
)
def test_a_command_that_cannot_be_done_is_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and one sentence, never a traceback."""
    from simulators.stripe.__main__ import main

    assert main(["faults", *words]) == 2
    assert sentence in capsys.readouterr().err
