"""Defects of logging and injection, each beside the service without it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.billing.running import OPERATOR_KEY

if TYPE_CHECKING:
    from tests.billing.defects.conftest import Both
    from tests.billing.defects.shop import Shop

# Every gauntlet meets them, too; those of money are shown every day.
pytestmark = pytest.mark.nightly
CARD = "4242 4242 4242 4242"
CARD_NUMBER = "4242424242424242"
CODE = "0737"


def send_card(shop: Shop) -> tuple[bool, bool]:
    """Send a card's number and code; tell whether each is in the log."""
    tenant = shop.tenant()
    body = {"card": {"number": CARD, "cvc": CODE}}
    reply = tenant.post(f"{tenant.path}/payment-methods", body)
    assert reply.json()["code"] == "raw_card_data_rejected"
    told = shop.stderr.getvalue()
    assert "request" in told
    return CARD in told, CODE in told


def is_stored(shop: Shop, secret: str) -> bool:
    """Tell whether a text stands anywhere in the database."""
    with shop.core.database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        dump = "\n".join(raw.iterdump())
    # A BLOB is dumped in hexadecimal digits.
    return secret in dump or secret.encode().hex().upper() in dump.upper()


def test_card_code_in_the_log(both: Both) -> None:
    """The code of a card that was refused is in no log, or is beside its masked number."""
    assert both("card-code-in-the-log", send_card) == ((False, False), (False, True))


def test_spaced_card_number_in_the_log(both: Both) -> None:
    """A card number in groups is in no log, or escapes the mask."""
    assert both("spaced-card-number-in-the-log", send_card) == ((False, False), (True, True))


def test_error_echoes_the_input(both: Both) -> None:
    """A mistyped card number is not told back, or is."""

    def story(shop: Shop) -> bool:
        tenant = shop.tenant()
        mistyped = CARD.replace(" ", "-")[:-1] + "1"
        reply = tenant.add_card(mistyped)
        assert reply.json()["code"] == "validation_failed"
        return mistyped in reply.text

    assert both("error-echoes-the-input", story) == (False, True)


def test_api_key_in_the_log(both: Both) -> None:
    """The key of a refused request is in no log, or is."""

    def story(shop: Shop) -> bool:
        tenant = shop.tenant()
        tenant.http.get("/api/v1/customers/cust_nobody")
        return tenant.http.headers["X-API-Key"] in shop.stderr.getvalue()

    assert both("api-key-in-the-log", story) == (False, True)


def test_request_dumped_on_a_crash(both: Both) -> None:
    """When something breaks, no key is in the log, or the request's is."""

    def story(shop: Shop) -> bool:
        tenant = shop.tenant()
        armed = {"name": "fix.attempt.before_commit", "action": "fail", "nth": 1}
        shop.controls.post("/test/failpoints", json=armed).raise_for_status()
        assert tenant.fix("fix-1").status_code == 500
        return tenant.http.headers["X-API-Key"] in shop.stderr.getvalue()

    assert both("request-dumped-on-a-crash", story) == (False, True)


def test_api_key_plain_in_the_database(both: Both) -> None:
    """A key is stored as a hash, or as it is."""
    found = both(
        "api-key-plain-in-the-database",
        lambda shop: is_stored(shop, shop.tenant().http.headers["X-API-Key"]),
    )
    assert found == (False, True)


def test_secret_answers_kept_in_plain(both: Both) -> None:
    """An answer that shows a key is kept sealed, or in plain."""

    def story(shop: Shop) -> bool:
        key = shop.tenant().post("/api/v1/api-keys", key="again").json()["api_key"]
        return is_stored(shop, key)

    assert both("secret-answers-kept-in-plain", story) == (False, True)


def test_sql_in_a_filter(both: Both) -> None:
    """A quote in a filter is a quote, or ends the string and shows everyone's entries."""

    def story(shop: Shop) -> tuple[int, int]:
        tenant, _ = shop.tenant(), shop.tenant()
        page = f"{tenant.path}/transactions"
        plain, sly = (
            tenant.http.get(page, params={"filter": f"source:{value}"}).json()["data"]
            for value in ("trial_signup", "x' OR '1' = '1")
        )
        return len(plain), len(sly)

    assert both("sql-in-a-filter", story) == ((1, 0), (1, 2))


def test_line_breaks_in_the_log(both: Both) -> None:
    """A path with a line break stays in its line, or writes one of its own."""

    def story(shop: Shop) -> bool:
        shop.client(OPERATOR_KEY).get("/api/v1/x%0Aforged line")
        return "forged line" in shop.stderr.getvalue().splitlines()

    assert both("line-breaks-in-the-log", story) == (False, True)


def test_card_data_kept_with_an_event(both: Both) -> None:
    """An event is stored without the card number in it, or with it."""

    def story(shop: Shop) -> bool:
        about = {"id": "cus_x", "object": "customer", "description": f"paid by {CARD_NUMBER}"}
        event = {"id": f"evt_{time.monotonic_ns()}", "type": "customer.updated"}
        assert shop.deliver({**event, "data": {"object": about}}).status_code == 200
        return is_stored(shop, CARD_NUMBER)

    assert both("card-data-kept-with-an-event", story) == (False, True)


def test_request_id_echoed_whatever_it_is(both: Both) -> None:
    """A card number is no request id, or is."""

    def story(shop: Shop) -> bool:
        reply = shop.client().get("/health", headers={"X-Request-Id": CARD_NUMBER})
        return bool(reply.headers["X-Request-Id"] == CARD_NUMBER)

    assert both("request-id-echoed-whatever-it-is", story) == (False, True)


def test_key_under_a_broken_hash(both: Both) -> None:
    """A key's hash has 256 bits, or 128."""

    def story(shop: Shop) -> int:
        return len(shop.core.vault.digest("api key", shop.tenant().http.headers["X-API-Key"]))

    assert both("key-under-a-broken-hash", story) == (64, 32)


def test_refusals_not_logged(both: Both) -> None:
    """A refused request is in the log, or is not."""

    def story(shop: Shop) -> bool:
        shop.client().get("/api/v1/customers/x", headers={"X-Request-Id": "looked-for-1"})
        return "looked-for-1" in shop.stderr.getvalue()

    assert both("refusals-not-logged", story) == (True, False)


def test_ended_key_told_from_none(both: Both) -> None:
    """A key that was revoked is refused like any other, or told apart."""

    def story(shop: Shop) -> bool:
        tenant = shop.tenant()
        made = tenant.post("/api/v1/api-keys").json()
        tenant.http.delete(f"/api/v1/api-keys/{made['key_id']}").raise_for_status()
        replies = [shop.client(key).get(tenant.path).json() for key in (made["api_key"], "bk_x")]
        return bool(replies[0]["detail"] != replies[1]["detail"])

    assert both("ended-key-told-from-none", story) == (False, True)
