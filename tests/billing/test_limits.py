"""Limits: exact to the request, under concurrency, over two processes, and no way around."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from simulators.billing.http.address import client_address
from simulators.billing.limits import Limiter, Policy
from simulators.billing.storage.traffic import RateHit
from tests.billing.conftest import new_tenant
from tests.billing.running import running_service
from tests.billing.test_webhooks import PATH, event, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.billing.conftest import Bench, Tenant
    from tests.billing.databases import Databases
    from tests.billing.running import Service, Simulator

REQUESTS = 30
WEBHOOKS = 12
PROXY = "127.0.0.99"
_addresses = itertools.count(100)


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, simulator: Simulator, databases: Databases
) -> Iterator[Service]:
    """Run two processes with limits low enough to be reached."""
    folder = tmp_path_factory.mktemp("limits")
    with running_service(
        folder,
        simulator,
        processes=2,
        database_url=databases.fresh(folder),
        limit_requests=str(REQUESTS),
        limit_failed_authentications="10",
        limit_unverified_webhooks=str(WEBHOOKS),
        limit_verified_webhooks=str(2 * WEBHOOKS),
        trusted_proxies=f"{PROXY}, 10.0.0.0/8",
    ) as found:
        yield found


@pytest.fixture
def poor(limited: Service) -> Iterator[Tenant]:
    """Make a customer of the service with low limits."""
    with new_tenant(limited) as found:
        yield found


def from_address(service: Service, address: str | None = None, **headers: str) -> httpx.Client:
    """Give a client that calls from a loopback address of its own."""
    address = address or f"127.0.1.{next(_addresses)}"
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(
        base_url=service.url, headers=headers, timeout=30, trust_env=False, transport=transport
    )


def exhaust(tenant: Tenant) -> httpx.Response:
    """Use up what is left of the key's hour; give the last answer that passed."""
    last = tenant.http.get(tenant.path)
    for _ in range(int(last.headers["X-RateLimit-Remaining"])):
        last = tenant.http.get(tenant.path)
    assert last.status_code == 200
    return last


def assert_limited(reply: httpx.Response) -> None:
    """Hold that an answer is a whole 429."""
    assert (reply.status_code, reply.json()["code"]) == (429, "rate_limited"), reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert 0 < int(reply.headers["Retry-After"]) <= 3600
    assert reply.headers["X-RateLimit-Remaining"] == "0"


def deliver(http: httpx.Client, event_id: str) -> httpx.Response:
    """Deliver a signed event."""
    body = event(event_id)
    return http.post(PATH, content=body, headers={"Stripe-Signature": signed(body)})


@dataclass
class HandClock:
    """A clock moved by hand."""

    time: int = 1_700_000_000

    def now(self) -> int:
        return self.time


def test_the_500th_request_passes_and_the_501st_does_not(bench: Bench) -> None:
    """The default of 500 an hour is exact, and an hour after the first there is room again."""
    clock = HandClock()
    limiter = Limiter(replace(bench.core, clock=clock))
    passed = []
    for number in range(501):
        clock.time += number % 3
        passed.append(limiter.request("cust_1", 1).has_passed)
    assert passed == [True] * 500 + [False]
    clock.time = 1_700_000_000 + 3599
    assert not limiter.request("cust_1", 1).has_passed
    clock.time += 1
    assert limiter.request("cust_1", 1).has_passed
    assert not limiter.request("cust_1", 1).has_passed


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(gaps=st.lists(st.integers(0, 30), min_size=1, max_size=40), limit=st.integers(1, 6))
def test_no_window_ever_holds_more_than_the_limit(
    bench: Bench, gaps: list[int], limit: int
) -> None:
    """However requests are spaced, each passes exactly when fewer than the limit passed lately."""
    clock = HandClock()
    limiter = Limiter(replace(bench.core, clock=clock))
    subject = f"s{next(_addresses)}"
    policy = Policy("p", limit, 60)
    passed: list[int] = []
    for gap in gaps:
        clock.time += gap
        recent = [at for at in passed if at > clock.time - 60]
        allowance = limiter._take(policy, subject)
        assert allowance.has_passed == (len(recent) < limit)
        if allowance.has_passed:
            passed.append(clock.time)
            recent.append(clock.time)
        assert allowance.remaining == limit - len(recent)
        assert allowance.reset_at == recent[0] + 60


def test_what_left_the_window_is_deleted(bench: Bench) -> None:
    """The table holds an hour of traffic and no more."""
    clock = HandClock()
    limiter = Limiter(replace(bench.core, clock=clock))
    for _ in range(5):
        clock.time += 1000
        limiter.request("cust_1", 1)
    with bench.core.database.read() as session:
        assert session.scalar(select(func.count()).select_from(RateHit)) == 4


def test_concurrent_requests_to_two_processes_pass_exactly_to_the_limit(poor: Tenant) -> None:
    """Of twice the limit at once exactly the limit passes, and each remainder is told once."""
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: poor.http.get(poor.path), range(2 * REQUESTS)))
    passed = [r for r in replies if r.status_code == 200]
    assert len(passed) == REQUESTS
    left = sorted(int(r.headers["X-RateLimit-Remaining"]) for r in passed)
    assert left == list(range(REQUESTS))
    for reply in replies:
        if reply.status_code != 200:
            assert_limited(reply)


def test_headers_and_usage_say_what_is_enforced(poor: Tenant) -> None:
    """Limit, remainder and reset agree between the fields, the usage summary and what happens."""
    reply = poor.http.get(f"{poor.path}/usage")
    shown = reply.json()["request_limit"]
    assert shown["limit"] == int(reply.headers["X-RateLimit-Limit"]) == REQUESTS
    assert shown["remaining"] == int(reply.headers["X-RateLimit-Remaining"]) == REQUESTS - 1
    assert shown["reset_at"] == int(reply.headers["X-RateLimit-Reset"])
    assert reply.headers["RateLimit-Policy"] == f'"api-key";q={REQUESTS};w=3600'
    assert reply.headers["RateLimit"].startswith(f'"api-key";r={REQUESTS - 1};t=3')
    for _ in range(shown["remaining"]):
        assert poor.http.get(poor.path).status_code == 200
    assert_limited(poor.http.get(poor.path))


def test_every_answer_that_is_limited_says_so(poor: Tenant) -> None:
    """Refusals, unknown paths and malformed bodies count, and carry the fields as well."""
    replies = [
        poor.http.get("/api/v1/customers/cust_nobody"),
        poor.http.get("/api/v1/nowhere"),
        poor.http.post("/api/v1/billing/track_fix", content=b"{"),
        poor.http.put("/api/v1/billing/track_fix"),
    ]
    left = [int(reply.headers["X-RateLimit-Remaining"]) for reply in replies]
    assert left == [REQUESTS - 1, REQUESTS - 2, REQUESTS - 3, REQUESTS - 4]


def test_a_refused_request_costs_nothing_and_may_be_sent_again(
    poor: Tenant, limited: Service
) -> None:
    """A 429 takes no credit and keeps no answer; an hour on the same request goes through."""
    exhaust(poor)
    assert_limited(poor.fix("fix-1", key="k"))
    assert_limited(poor.fix("fix-1", key="k"))
    with limited.operator as operator:
        usage = operator.get(f"{poor.path}/usage").json()
        assert (usage["credit_balance"], usage["period"]["fixes"]) == (5, 0)
        assert operator.get(f"{poor.path}/fix-attempts").json()["data"] == []
    with limited.controls as controls:
        now = controls.get("/test/clock").json()["now"]
        controls.post("/test/clock", json={"to": now + 3601}).raise_for_status()
    reply = poor.fix("fix-1", key="k")
    assert (reply.status_code, reply.json()["credit_balance"]) == (200, 4)
    assert "Idempotent-Replayed" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/v1/customers/{id}", {}),
        ("GET", "/API/V1/customers/{id}", {}),
        ("GET", "/api/v1/customers/{id}/", {}),
        ("GET", "/api/v1/customers/{id}?a=1", {}),
        ("GET", "/api/v1/customers/{id}", {"X-Forwarded-For": "203.0.113.9"}),
        ("GET", "/api/v1/customers/{id}", {"Forwarded": "for=203.0.113.9"}),
        ("GET", "/api/v1/customers/{id}", {"X-Real-IP": "203.0.113.9"}),
        ("GET", "/api/v1/%63ustomers/{id}", {}),
        ("POST", "/api/v1/customers/onboard", {}),
        ("HEAD", "/api/v1/nowhere", {}),
    ],
)
def test_no_detour_leads_around_a_keys_limit(
    poor: Tenant, method: str, path: str, headers: dict[str, str]
) -> None:
    """Case, slash, query, encoding, method and forwarded headers all meet the same limit."""
    exhaust(poor)
    reply = poor.http.request(method, path.format(id=poor.id), headers=headers)
    assert reply.status_code == 429


def test_the_other_header_is_the_same_key(poor: Tenant) -> None:
    """A key sent as a Bearer token has the limit that it has as X-API-Key."""
    exhaust(poor)
    key = poor.http.headers["X-API-Key"]
    with poor.service.client() as anyone:
        assert_limited(anyone.get(poor.path, headers={"Authorization": f"bearer {key}"}))


def test_a_rotated_key_inherits_what_was_used(poor: Tenant) -> None:
    """A new key in an old one's place has the old one's remainder, a second key its own."""
    second = poor.post("/api/v1/api-keys").json()["api_key"]
    made = poor.post("/api/v1/api-keys/rotate").json()
    poor.http.headers["X-API-Key"] = made["api_key"]
    told = int(poor.http.get(poor.path).headers["X-RateLimit-Remaining"])
    assert told == REQUESTS - 3
    exhaust(poor)
    assert_limited(poor.http.get(poor.path))
    poor.http.headers["X-API-Key"] = second
    first_use = poor.http.get(poor.path)
    assert first_use.headers["X-RateLimit-Remaining"] == str(REQUESTS - 1)


def test_a_revoked_and_remade_second_key_has_no_new_hour(poor: Tenant) -> None:
    """Revoking and making keys in turn multiplies nothing: the place keeps its count."""
    second = poor.post("/api/v1/api-keys").json()
    with poor.service.client(second["api_key"]) as http:
        for _ in range(4):
            http.get(poor.path)
    poor.http.delete(f"/api/v1/api-keys/{second['key_id']}")
    third = poor.post("/api/v1/api-keys").json()
    with poor.service.client(third["api_key"]) as http:
        assert http.get(poor.path).headers["X-RateLimit-Remaining"] == str(REQUESTS - 5)


def test_the_operator_has_a_limit_of_their_own(limited: Service) -> None:
    """The operator's key is counted apart, by its own setting."""
    with limited.operator as operator:
        reply = operator.get("/api/v1/customers/cust_nobody")
    assert reply.headers["X-RateLimit-Limit"] == "100000"
    assert '"operator"' in reply.headers["RateLimit-Policy"]


def test_ten_wrong_keys_an_hour_and_a_valid_one_still_passes(poor: Tenant) -> None:
    """The 11th wrong key from an address is a 429; its neighbour's valid key is let in."""
    with from_address(poor.service) as http:
        wrong = [
            http.get(poor.path, headers={"X-API-Key": f"bk_wrong_{number}"}) for number in range(12)
        ]
        assert [r.status_code for r in wrong] == [401] * 10 + [429] * 2
        assert wrong[0].headers["X-RateLimit-Limit"] == "10"
        assert wrong[9].headers["X-RateLimit-Remaining"] == "0"
        assert_limited(wrong[10])
        valid = {"X-API-Key": poor.http.headers["X-API-Key"]}
        assert http.get(poor.path, headers=valid).status_code == 200
        assert http.get(poor.path).status_code == 401
    with from_address(poor.service) as elsewhere:
        reply = elsewhere.get(poor.path, headers={"X-API-Key": "bk_wrong"})
        assert reply.status_code == 401


def test_wrong_keys_cannot_hide_behind_a_header(poor: Tenant) -> None:
    """Forwarded addresses, paths, the other header and the test token share one count.

    From 127.0.0.1, which servers like to trust by default.
    """
    with from_address(poor.service, "127.0.0.1") as http:
        ways: list[tuple[str, dict[str, str]]] = [
            (poor.path, {"X-API-Key": "bk_a", "X-Forwarded-For": "198.51.100.1"}),
            (poor.path, {"X-API-Key": "bk_b", "X-Forwarded-For": "198.51.100.2"}),
            (f"{poor.path}/usage?x=1", {"Authorization": "Bearer bk_c"}),
            ("/api/v1/api-keys", {"X-API-Key": "bk_d"}),
            ("/test/clock", {"X-Test-Control-Token": "guess"}),
        ] * 2
        assert [http.get(p, headers=h).status_code for p, h in ways] == [401] * 10
        assert [http.get(p, headers=h).status_code for p, h in ways] == [429] * 10


def test_a_configured_proxy_is_believed(poor: Tenant) -> None:
    """Behind the proxy each client has its own count, by the last address the proxy names."""
    with from_address(poor.service, PROXY) as proxied:

        def wrong(forwarded: str) -> int:
            headers = {"X-API-Key": "bk_wrong", "X-Forwarded-For": forwarded}
            return proxied.get(poor.path, headers=headers).status_code

        assert [wrong(f"1.2.3.{n}, 203.0.113.7") for n in range(11)] == [401] * 10 + [429]
        assert wrong("203.0.113.7, 203.0.113.8") == 401


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.1", [], "203.0.113.1"),
        ("203.0.113.1", ["198.51.100.1"], "203.0.113.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "198.51.100.2"], "198.51.100.2"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:203.0.113.1", [], "203.0.113.1"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        (None, ["198.51.100.1"], "unknown"),
    ],
)
def test_an_address_is_the_peers_unless_a_proxy_speaks(
    peer: str | None, forwarded: list[str], expected: str
) -> None:
    """Only configured proxies are believed, from the last entry on; IPv6 counts by its /64."""
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope: dict[str, Any] = {"type": "http", "headers": headers}
    scope["client"] = (peer, 1) if peer else None
    assert client_address(scope, [ip_network("10.0.0.0/8")]) == expected


def test_forged_webhooks_are_limited_and_true_ones_are_not(limited: Service) -> None:
    """Past the limit a forged event is a 429, while a signed one is still taken in."""
    with from_address(limited) as http:
        headers = {"Stripe-Signature": "t=1,v1=00"}
        forged = [http.post(PATH, content=b"{}", headers=headers) for _ in range(WEBHOOKS + 1)]
        assert [r.status_code for r in forged] == [400] * WEBHOOKS + [429]
        assert_limited(forged[-1])
        assert forged[0].headers["X-RateLimit-Limit"] == str(WEBHOOKS)
        taken = deliver(http, "evt_limit")
        assert taken.status_code == 200
        assert taken.headers["X-RateLimit-Limit"] == str(2 * WEBHOOKS)


def test_true_webhooks_have_a_ceiling_of_their_own(limited: Service) -> None:
    """Past the higher ceiling a signed event is refused unstored, so that Stripe sends it again."""
    with from_address(limited) as http:
        for number in range(2 * WEBHOOKS + 1):
            reply = deliver(http, f"evt_ceiling_{number}")
            assert reply.status_code == (200 if number < 2 * WEBHOOKS else 429)
    with from_address(limited) as http:
        again = deliver(http, f"evt_ceiling_{2 * WEBHOOKS}")
    assert again.json() == {"received": True, "duplicate": False}
