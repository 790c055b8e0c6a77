"""Defects of limits, each beside the service without it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.billing.defects.shop import at_once

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly
HOUR_S = 3600


def test_forwarded_address_believed(both: Both) -> None:
    """Another `X-Forwarded-For` for each wrong key changes nothing, or resets the limit."""

    def story(shop: Shop) -> int:
        told = ({"X-Forwarded-For": f"203.0.113.{number}"} for number in range(3))
        replies = [shop.client("wrong", **each).get("/api/v1/customers/x") for each in told]
        return replies[-1].status_code

    found = both("forwarded-address-believed", story, limit_failed_authentications=2)
    assert found == (429, 401)


def test_limit_of_each_spelling(both: Both) -> None:
    """A slash at the end counts like the path without it, or has a limit of its own."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.tenant()
        paths = tenant.path, f"{tenant.path}/", tenant.path
        return [int(tenant.http.get(p).headers["X-RateLimit-Remaining"]) for p in paths]

    assert both("limit-of-each-spelling", story) == ([499, 498, 497], [499, 499, 498])


def test_refused_requests_prolong_the_limit(both: Both) -> None:
    """Who kept asking is let in again after an hour, or never."""

    def story(shop: Shop) -> list[int]:
        tenant = shop.tenant()
        found = [tenant.http.get(tenant.path).status_code for _ in range(3)]
        shop.pass_time(HOUR_S // 2)
        found += [tenant.http.get(tenant.path).status_code for _ in range(2)]
        shop.pass_time(HOUR_S // 2)
        return [*found, tenant.http.get(tenant.path).status_code]

    clean, broken = both("refused-requests-prolong-the-limit", story, limit_requests=2)
    assert clean == [200, 200, 429, 429, 429, 200]
    assert broken == [200, 200, 429, 429, 429, 429]


def test_limit_checked_before_it_is_counted(both: Both) -> None:
    """Of eight requests at once two pass, or more."""

    def story(shop: Shop) -> Counter[int]:
        tenant = shop.tenant()
        return Counter(r.status_code for r in at_once(8, lambda _: tenant.http.get(tenant.path)))

    clean, broken = both("limit-checked-before-it-is-counted", story, limit_requests=2)
    assert clean == {200: 2, 429: 6}
    assert broken[200] > 2


def test_rotated_key_starts_afresh(both: Both) -> None:
    """A rotated key inherits the count, or starts with a full hour."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        key = tenant.post("/api/v1/api-keys/rotate").json()["api_key"]
        reply = shop.client(key).get(tenant.path)
        return int(reply.headers["X-RateLimit-Remaining"])

    assert both("rotated-key-starts-afresh", story) == (498, 499)


def test_refusal_without_retry_after(both: Both) -> None:
    """A 429 says when to come back, or not."""

    def story(shop: Shop) -> tuple[int, bool]:
        tenant = shop.tenant()
        replies = [tenant.http.get(tenant.path) for _ in range(2)]
        return replies[-1].status_code, "Retry-After" in replies[-1].headers

    found = both("refusal-without-retry-after", story, limit_requests=1)
    assert found == ((429, True), (429, False))


def test_window_begins_with_the_hour(both: Both) -> None:
    """The limit still holds after the full hour, or begins anew."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        shop.pass_time(2 * 3600 - shop.core.clock.now() % 3600 - 60)
        assert tenant.http.get(tenant.path).status_code == 200
        shop.pass_time(120)
        return tenant.http.get(tenant.path).status_code

    assert both("window-begins-with-the-hour", story, limit_requests=1) == (429, 200)


def test_remainder_that_never_falls(both: Both) -> None:
    """What remains falls with each request, or never."""

    def story(shop: Shop) -> int:
        tenant = shop.tenant()
        return int(tenant.http.get(tenant.path).headers["X-RateLimit-Remaining"])

    assert both("remainder-that-never-falls", story) == (499, 500)


def test_forged_webhooks_without_a_limit(both: Both) -> None:
    """Forged events end with a 429, or never do."""

    def story(shop: Shop) -> int:
        replies = [shop.deliver({}, header="t=1,v1=00") for _ in range(3)]
        return replies[-1].status_code

    found = both("forged-webhooks-without-a-limit", story, limit_unverified_webhooks=2)
    assert found == (429, 400)
