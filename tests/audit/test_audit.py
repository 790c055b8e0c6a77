"""`billing-harness audit` beside a real service and Stripe: it finds, and only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from harness.audit.facts import KINDS
from tests.audit.story import FIX_MINOR, REFUND_MINOR, customer, day, move, prints, settled
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.audit.story import Day

pytestmark = linux_only

MADE_UP = (
    "INSERT INTO payments (id, customer_id, kind, stripe_id, amount_minor, currency, cause, plan,"
    " created_at) SELECT 'pay_made_up', customer_id, 'charge', 'ch_nowhere', 700, 'usd', 'nobody',"
    " 'payg', created_at FROM payments WHERE cause = 'fix_4'"
)
THREE_MORE = (
    "UPDATE credit_transactions SET balance_after = balance_after + 3 WHERE cause = 'fix_2' AND"
    " source = 'consumed'"
)


@pytest.fixture(scope="module")
def lived() -> Iterator[Day]:
    """Live through one day for all of this module's tests; each changes a copy of the books."""
    with day() as lived:
        yield lived


def test_books_that_agree_are_valid_and_nothing_is_written(
    lived: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An honest day is valid; no byte of the database changes, and Stripe hears only GET."""
    book = lived.copied(tmp_path)
    before = prints(tmp_path)
    lived.stripe.asked.clear()
    metrics = tmp_path / "audit.prom"
    told = lived.audit(
        monkeypatch, tmp_path, "--metrics", str(metrics), database_url=f"sqlite:///{book}"
    )
    assert told["status"] == 0, told
    assert told["looked_at"] == {
        "customers": 5, "ledger entries": 12, "charges": 6, "refunds": 1, "payments": 7,
    }, told  # fmt: skip
    assert prints(tmp_path) == before
    assert {method for method, _ in lived.stripe.asked} == {"GET"}
    assert "audit of reference: valid" in told["said"]
    samples = metrics.read_text("utf-8")
    for kind in KINDS:
        assert f'audit_findings{{kind="{kind}",target="reference"}} 0.0' in samples
    assert "audit_success_timestamp_seconds" in samples


def test_five_differences_are_found_each_with_its_amount(
    lived: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost payment, an invented one, a wrong amount, a lost refund, a wrong balance: all told."""
    owner = lived.fixes["fix_4"]
    book = lived.copied(
        tmp_path,
        "DELETE FROM payments WHERE cause = 'fix_0'",
        MADE_UP,
        "UPDATE payments SET amount_minor = 2500 WHERE cause = 'fix_1'",
        "DELETE FROM payments WHERE kind = 'refund'",
        THREE_MORE,
    )
    before = prints(tmp_path)
    told = lived.audit(
        monkeypatch,
        tmp_path,
        "--metrics",
        str(tmp_path / "a.prom"),
        database_url=f"sqlite:///{book}",
    )
    found = {each["kind"]: (each["amount_minor"], each["customer"]) for each in told["findings"]}
    assert found == {
        "charge_without_payment": (FIX_MINOR, lived.fixes["fix_0"]),
        "payment_without_charge": (-700, owner),
        "wrong_amount": (FIX_MINOR - 2500, lived.fixes["fix_1"]),
        "missing_refund": (-REFUND_MINOR, lived.fixes["fix_3"]),
        "wrong_balance": (-3 * FIX_MINOR, lived.fixes["fix_2"]),
    }
    assert len(told["findings"]) == len(found)
    assert told["status"] == 1
    assert prints(tmp_path) == before
    (lost,) = (each for each in told["findings"] if each["kind"] == "charge_without_payment")
    customer, charge = lost["provider_customer"], lost["provider_id"]
    assert lost["told"] == (
        f"{customer} ({lost['customer']}) is out 29.00 USD by {charge}: charged by Stripe, no"
        " payment in the books"
    )
    assert lost["told"] in told["said"]
    sample = 'audit_difference_cents{currency="usd",kind="wrong_amount",target="reference"} 400.0'
    assert sample in (tmp_path / "a.prom").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (("UPDATE payments SET currency = 'eur' WHERE cause = 'fix_0'",), "wrong_currency"),
        (("UPDATE payments SET cause = 'fix_4' WHERE cause = 'fix_again'",), "double_charge"),
        (
            (
                "DELETE FROM payments WHERE cause = 'fix_4'",
                "UPDATE payments SET cause = 'fix_4' WHERE cause = 'fix_again'",
            ),
            "double_charge",
        ),
    ],
    ids=["another currency", "both in the books", "the second not in the books"],
)
def test_other_differences_are_found(
    lived: Day,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: tuple[str, ...],
    kind: str,
) -> None:
    """Another currency, and two charges for one fix, are told once with their amount."""
    book = lived.copied(tmp_path, *changes)
    told = lived.audit(monkeypatch, tmp_path, database_url=f"sqlite:///{book}")
    assert [(each["kind"], each["amount_minor"]) for each in told["findings"]] == [
        (kind, FIX_MINOR)
    ]


def test_the_api_alone_is_enough_and_is_only_read(
    lived: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By list operations of the operator's the same day is valid; a charge beside it is found."""
    lived.api.asked.clear()
    honest = lived.audit(monkeypatch, tmp_path, "--by", "api")
    assert (honest["status"], honest["looked_at"]["payments"]) == (0, 7), honest
    assert {method for method, _ in lived.api.asked} == {"GET"}

    addresses = lived.stack.addresses
    with httpx.Client(trust_env=False, timeout=30, auth=(addresses.stripe_api_key, "")) as client:
        customers = client.get(f"{addresses.stripe_url}/v1/customers").json()["data"]
        since = move(client, addresses.stripe_url)
        charge = {
            "amount": 1100, "currency": "usd", "customer": customers[0]["id"], "confirm": "true",
            "payment_method": "pm_card_visa", "off_session": "true",
        }  # fmt: skip
        assert client.post(f"{addresses.stripe_url}/v1/payment_intents", data=charge).is_success
        until = move(client, addresses.stripe_url)
    window = ("--since", str(since), "--until", str(until), "--settle", "0")
    told = lived.audit(monkeypatch, tmp_path, "--by", "api", *window)
    (found,) = told["findings"]
    assert (found["kind"], found["amount_minor"]) == ("charge_without_payment", 1100)
    assert found["provider_customer"] == customers[0]["id"]


@pytest.mark.nightly
def test_disputes_agree_whatever_becomes_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open, lost and won, and an inquiry beside them: the reference's books are Stripe's."""
    with day() as lived, httpx.Client(trust_env=False, timeout=90) as client:
        addresses = lived.stack.addresses
        for number, card in enumerate(("createDispute",) * 3 + ("createDisputeInquiry",), 10):
            customer(client, addresses.billing_url, lived, number, f"pm_card_{card}")
        settled(client, lived)
        key = (addresses.stripe_api_key, "")
        disputes = f"{addresses.stripe_url}/v1/disputes"
        listed = client.get(disputes, auth=key).json()["data"]
        taken = [each["id"] for each in listed if each["balance_transactions"]]
        assert (len(listed), len(taken)) == (4, 3)
        for name, words in zip(taken, ("winning_evidence", "losing_evidence"), strict=False):
            evidence = {"evidence[uncategorized_text]": words}
            assert client.post(f"{disputes}/{name}", data=evidence, auth=key).is_success
        settled(client, lived)
        for how in ("sql", "api"):
            told = lived.audit(monkeypatch, tmp_path, "--by", how)
            assert (told["status"], told["looked_at"]["disputes"]) == (0, 4), told


@pytest.mark.nightly
def test_the_same_on_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL an honest day is valid, a changed one is not, and the session cannot write."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError

    from harness.audit.database import open_books
    from harness.audit.tables import REFERENCE

    with day("postgres") as lived:
        assert lived.audit(monkeypatch, tmp_path)["status"] == 0
        url = lived.stack.addresses.database_url
        with (
            open_books(url, REFERENCE, 60.0) as books,
            pytest.raises(DBAPIError, match="read-only"),
        ):
            books._connection.execute(text("DELETE FROM payments"))
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            for change in (
                "DELETE FROM payments WHERE cause = 'fix_0'",
                "UPDATE payments SET amount_minor = 2500 WHERE cause = 'fix_1'",
                "DELETE FROM payments WHERE kind = 'refund'",
            ):
                assert connection.execute(text(change)).rowcount == 1
        engine.dispose()
        told = lived.audit(monkeypatch, tmp_path)
        found = {each["kind"]: each["amount_minor"] for each in told["findings"]}
        assert found == {
            "charge_without_payment": FIX_MINOR,
            "wrong_amount": 400,
            "missing_refund": -REFUND_MINOR,
        }
