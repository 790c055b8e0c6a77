"""What an audit makes of limits, missing rights, other schemas, and of what crosses in time."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.audit.asking import moment, window_of
from harness.audit.auditing import audit
from harness.audit.database import open_books
from harness.audit.facts import Audited, Booked, Unreadable, Window
from harness.audit.matching import Sides, match
from harness.audit.provider import StripeReader
from harness.audit.tables import Queries
from harness.audit.telling import registry_of, succeeded_before
from harness.audit.waiting import Reading
from harness.checks.evidence import Payment
from harness.cli import build_app
from harness.errors import SettingsError
from harness.provider import Movement
from harness.target.profile import Catalog, Plan
from harness.target.wire import Call
from harness.transport import Transport

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = Window(1000, 2000)
CATALOG = Catalog(currency="usd", plans={"payg": Plan(overage_minor=100)})
OTHERS = Queries(
    payments="SELECT acct AS customer, ext AS provider_id, cents AS amount_minor, cur AS currency,"
    " made AS at FROM charges",
    customers="SELECT acct AS customer, ext AS provider_customer FROM accounts",
    ledger="SELECT acct AS customer, delta AS units, NULL AS balance_after, n AS place FROM moves",
    balances="SELECT acct AS customer, held AS units FROM purses",
)
SCHEMA = """
    CREATE TABLE charges (acct TEXT, ext TEXT, cents INTEGER, cur TEXT, made INTEGER);
    CREATE TABLE accounts (acct TEXT, ext TEXT);
    CREATE TABLE moves (acct TEXT, delta INTEGER, n INTEGER);
    CREATE TABLE purses (acct TEXT, held INTEGER);
    INSERT INTO accounts VALUES ('a1', 'cus_1'), ('a2', 'cus_2');
    INSERT INTO charges VALUES ('a1', 'ch_1', 500, 'USD', 1500), ('a2', 'ch_2', 700, 'USD', 900);
    INSERT INTO moves VALUES ('a1', 5, 1), ('a1', -2, 2), ('a2', 7, 1);
    INSERT INTO purses VALUES ('a1', 3), ('a2', 8);
"""


class Account:
    """A Stripe account as plain objects, behind a clock of its own."""

    def __init__(self, *charges: dict[str, Any]) -> None:
        self.charges = charges
        self.disputes: list[dict[str, Any]] = []
        self.now = 0.0
        self.waited: list[float] = []
        self.limited = 0
        self.forbidden: frozenset[str] = frozenset()

    def reader(self, deadline_s: float = 60.0) -> StripeReader:
        """Give a reader of it."""
        transport = Transport("http://stripe.test", 5.0, transport=httpx.MockTransport(self.answer))
        reading = Reading(transport, deadline_s, lambda: self.now, self.wait)
        return StripeReader(reading, "rk_test_x")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.waited.append(seconds)
        self.now += seconds

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as Stripe does."""
        url = httpx.URL(f"http://stripe.test{request.extensions['target'].decode()}")
        _, _, kind, *name = url.path.split("/")
        if self.limited:
            self.limited -= 1
            return httpx.Response(429, headers={"Retry-After": "20"})
        if kind in self.forbidden:
            return httpx.Response(403, json={"error": {"type": "invalid_request_error"}})
        if name:
            found = [each for each in (*self.charges, *self.disputes) if each["id"] == name[0]]
            return httpx.Response(200, json=found[0]) if found else httpx.Response(404, json={})
        return httpx.Response(200, json=self._page(kind, url.params))

    def _page(self, kind: str, asked: httpx.QueryParams) -> dict[str, Any]:
        within = range(int(asked["created[gte]"]), int(asked["created[lt]"]))
        all_of = {"charges": self.charges, "disputes": self.disputes}.get(kind, ())
        found = sorted((c for c in all_of if c["created"] in within), key=lambda c: -c["created"])
        ids = [charge["id"] for charge in found]
        begin = ids.index(asked["starting_after"]) + 1 if "starting_after" in asked else 0
        end = begin + int(asked["limit"])
        return {"data": found[begin:end], "has_more": end < len(found)}


def charge(name: str, amount: int, at: int, customer: str = "cus_1") -> dict[str, Any]:
    """Make a charge as Stripe shows it."""
    return {
        "id": name, "status": "succeeded", "captured": True, "customer": customer,
        "currency": "usd", "amount_captured": amount, "amount_refunded": 0, "created": at,
        "metadata": {},
    }  # fmt: skip


def dispute(of: dict[str, Any], status: str, *moved: str) -> dict[str, Any]:
    """Make a dispute of a charge, whose money these balance transactions moved."""
    return {
        "id": "du_1", "status": status, "charge": of, "currency": "usd", "metadata": {},
        "amount": of["amount_captured"], "created": of["created"] + 1,
        "balance_transactions": [{"id": name} for name in moved],
    }  # fmt: skip


def books(folder: Path) -> str:
    """Make the books of another schema; give their address."""
    file = folder / "others.db"
    made = sqlite3.connect(file)
    made.executescript(SCHEMA)
    made.close()
    return f"sqlite:///{file}"


def audited(account: Account, url: str, queries: Queries = OTHERS) -> Audited:
    """Audit an account against books."""
    found = Audited("others", WINDOW, "SQL", "usd")
    with open_books(url, queries, 60.0) as opened:
        audit(Sides(opened, account.reader(), CATALOG), found, lambda _: None)
    return found


def test_another_schema_is_read_by_the_profiles_own_queries(tmp_path: Path) -> None:
    """Names, letters of currencies and a balance kept elsewhere are the profile's to say."""
    account = Account(
        charge("ch_1", 500, 1499), charge("ch_3", 900, 1999), charge("ch_x", 60, 1600, "cus_other")
    )
    found = audited(account, books(tmp_path))
    told = {each.kind: (each.customer, each.amount_minor, each.units) for each in found.findings}
    assert told == {
        "charge_without_payment": ("a1", 900, None),
        "wrong_balance": ("a2", -100, -1),
    }
    assert found.strangers == Counter(usd=60)
    assert found.verdict == "invalid"


def test_what_is_booked_late_or_was_charged_early_is_not_missing(tmp_path: Path) -> None:
    """A fellow outside the window is looked up on its own side before it is called missing."""
    account = Account(charge("ch_2", 700, 1000, "cus_2"), charge("ch_1", 500, 999))
    found = audited(account, books(tmp_path))
    assert [each.kind for each in found.findings] == ["wrong_balance"]
    assert not found.gaps


@pytest.mark.parametrize(
    ("status", "moved", "booked", "told"),
    [
        ("warning_needs_response", (), {}, []),
        ("warning_needs_response", (), {"du_1": -500}, [("missing_refund", 500)]),
        ("needs_response", ("txn_1",), {"du_1": -500}, []),
        ("lost", ("txn_1",), {"du_1": -500}, []),
        ("lost", ("txn_1",), {"txn_1": -500}, []),
        ("lost", ("txn_1",), {}, [("missing_refund", -500)]),
        ("won", ("txn_1", "txn_2"), {}, []),
        ("won", ("txn_1", "txn_2"), {"du_1": -500, "txn_2": 500}, []),
        ("won", ("txn_1", "txn_2"), {"du_1": -500}, [("missing_reinstatement", 500)]),
    ],
)
def test_a_dispute_is_what_it_moved_in_the_end(
    tmp_path: Path,
    status: str,
    moved: tuple[str, ...],
    booked: dict[str, int],
    told: list[tuple[str, int]],
) -> None:
    """An inquiry moves nothing, what is open or lost took all, what is won gave it back."""
    paid = charge("ch_1", 500, 1500)
    account = Account(paid)
    account.disputes = [dispute(paid, status, *moved)]
    url = books(tmp_path)
    with closing(sqlite3.connect(tmp_path / "others.db")) as changed:
        changed.execute("DELETE FROM charges WHERE acct = 'a2'")
        for name, amount in booked.items():
            row = ("a1", name, amount, "USD", 1502)
            changed.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", row)
        changed.commit()
    found = audited(account, url, Queries(OTHERS.payments, OTHERS.customers))
    assert [(each.kind, each.amount_minor) for each in found.findings] == told
    assert not found.gaps


def test_what_came_back_of_an_old_dispute_is_looked_up_by_its_transaction(tmp_path: Path) -> None:
    """A row of this window that names a dispute's balance transaction finds the dispute."""
    paid = charge("ch_0", 500, 100)
    account = Account(paid)
    won = {**dispute(paid, "won", "txn_1", "txn_2"), "object": "dispute"}
    account.disputes = [{"id": "txn_2", "source": won, "created": 1600}]
    url = books(tmp_path)
    with closing(sqlite3.connect(tmp_path / "others.db")) as changed:
        changed.execute("DELETE FROM charges")
        rows = [("a1", "du_1", -500, "USD", 101), ("a1", "txn_2", 500, "USD", 1600)]
        changed.executemany("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", rows)
        changed.commit()
    account.disputes[0]["created"] = 2600  # its list is of another time
    found = audited(account, url, Queries(OTHERS.payments, OTHERS.customers))
    assert not found.findings
    assert not found.gaps


def test_every_page_is_read_and_a_payment_of_nothing_is_found(tmp_path: Path) -> None:
    """Of more charges than a page holds all are seen; a payment that no charge is for is told."""
    many = [charge(f"ch_many_{at}", 1, at) for at in range(1000, 1250)]
    found = audited(Account(*many), books(tmp_path))
    kinds = {kind: count for (kind, _), count in found.counts.items()}
    assert kinds == {"charge_without_payment": 250, "payment_without_charge": 1, "wrong_balance": 1}
    assert found.looked_at["charges"] == len(many)


def test_a_limit_is_waited_out_and_then_nothing_is_proven(tmp_path: Path) -> None:
    """Stripe's 429 is waited for as long as it says, within the deadline; beyond it: unknown."""
    account = Account(charge("ch_1", 500, 1500))
    account.limited = 2
    within = audited(account, books(tmp_path / "."))
    assert account.waited == [20.0, 20.0]
    assert not within.gaps
    account.limited = 9
    beyond = audited(
        account, f"sqlite:///{tmp_path}/others.db", Queries(OTHERS.payments, OTHERS.customers)
    )
    assert beyond.verdict == "unknown"
    assert [gap.what for gap in beyond.gaps] == ["payments and charges"]
    assert "the deadline comes before" in beyond.gaps[0].reason
    told = dict(registry_of(beyond, 5.0, 4.0)._names_to_collectors)
    assert "audit_unread" in told


@pytest.mark.parametrize(
    ("what", "queries", "reason"),
    [
        ("disputes", OTHERS, "the key may not read disputes"),
        ("", Queries("SELECT 1 AS at", OTHERS.customers), "gives no column amount_minor"),
        ("", Queries("SELECT * FROM nowhere", OTHERS.customers), "no such table: nowhere"),
        ("", Queries("DELETE FROM charges", OTHERS.customers), "payments cannot be read"),
    ],
    ids=["a right that lacks", "a column that lacks", "a table that lacks", "not a query"],
)
def test_what_cannot_be_read_is_told_and_proves_nothing(
    tmp_path: Path, what: str, queries: Queries, reason: str
) -> None:
    """A key without a right and a query that does not fit are named; the rest is still judged."""
    account = Account(charge("ch_1", 500, 1500))
    account.forbidden = frozenset({what})
    found = audited(account, books(tmp_path), queries)
    assert any(reason in gap.reason for gap in found.gaps), found.gaps
    assert found.exit_status == (1 if queries is OTHERS else 2)


def test_only_get_is_ever_sent() -> None:
    """A call that could write is refused before it leaves."""
    transport = Transport("http://stripe.test", 5.0, transport=httpx.MockTransport(_never))
    reading = Reading(transport, 60.0, lambda: 0.0)
    with pytest.raises(SettingsError, match="nothing but GET"):
        reading.send(Call("POST", "/v1/refunds"))


def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(request.url)


moves = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 4)), max_size=60)


@given(moves)
def test_memory_holds_only_what_has_no_fellow(drawn: list[tuple[int, int]]) -> None:
    """Whatever is booked up to four seconds late leaves nothing, in whichever order both come."""
    pairs = [(f"ch_{place}", at, at + late) for place, (at, late) in enumerate(drawn)]
    movements = [
        Movement("charge", name, "cus_1", 100, "usd", "succeeded", at) for name, at, _ in pairs
    ]
    rows = [
        Booked("a1", "cus_1", at, Payment(100, "usd", name, None, None)) for name, _, at in pairs
    ]
    found = Audited("x", WINDOW, "SQL", "usd")
    left = match(sorted(movements, key=_newest), sorted(rows, key=_newest), found)
    assert (left.movements, left.rows) == ([], [])


def _newest(one: Movement | Booked) -> int:
    return -one.at


def test_books_of_another_account_are_not_listed_without_end() -> None:
    """Where nothing has a fellow, it ends with a question instead of twenty thousand findings."""
    movements = (
        Movement("charge", f"ch_{at}", "cus_1", 100, "usd", "succeeded", at)
        for at in range(30_000, 0, -1)
    )
    with pytest.raises(Unreadable, match="is it the database that belongs"):
        match(movements, (), Audited("x", WINDOW, "SQL", "usd"))


def test_times_are_read_as_people_write_them() -> None:
    """So long ago, ISO 8601 and Unix seconds; what is in flight stays out; nonsense is refused."""
    assert window_of("24h", None, 600, 100_000) == Window(13_600, 99_400)
    assert window_of("1970-01-01T00:00:10Z", "50", 600, 100_000) == Window(10, 50)
    for wrong in ("yesterday", "24 h", "-3"):
        with pytest.raises(SettingsError, match="is no time"):
            moment(wrong, 0)
    with pytest.raises(SettingsError, match="the window is empty"):
        window_of("5m", None, 600, 100_000)


def test_a_success_is_remembered_by_the_file(tmp_path: Path) -> None:
    """An audit that could not read keeps the time of the last one that could."""
    file = tmp_path / "a.prom"
    assert succeeded_before(file) is None
    file.write_text('audit_success_timestamp_seconds{target="x"} 1.5e+09\n', "utf-8")
    assert succeeded_before(file) == 1.5e9
    file.write_text("{nonsense", "utf-8")
    assert succeeded_before(file) is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "STRIPE_AUDIT_KEY is not set"),
        ("sk_" + "live_0123456789", "holds a live key that can write"),
        ("nonsense", "holds no key of Stripe's"),
    ],
)
def test_wrong_credentials_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, said: str
) -> None:
    """A key that is missing, can write or is none is refused before anything is sent."""
    profile = tmp_path / "p.toml"
    profile.write_text(
        '[target]\nname = "p"\nbase_url = "http://127.0.0.1:1"\nenvironment = "production"\n'
        '[catalog]\ncurrency = "usd"\n[audit]\nstripe_key_env = "STRIPE_AUDIT_KEY"\n'
        'tables = "reference"\n',
        "utf-8",
    )
    monkeypatch.setenv("STRIPE_AUDIT_KEY", key)
    file = tmp_path / "out.json"
    ended = CliRunner().invoke(
        build_app(), ["audit", "--target", str(profile), "--json", str(file)]
    )
    assert ended.exit_code == 2
    assert said in ended.output
    assert json.loads(file.read_text("utf-8"))["verdict"] == "unknown"
    assert not key or key not in ended.output


def test_where_it_cannot_be_told_is_found_before_the_long_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway without an address is refused before anything is read, and no verdict is lost."""
    monkeypatch.delenv("PUSHGATEWAY_URL", raising=False)
    ended = CliRunner().invoke(build_app(), ["audit", "--target", "nowhere", "--push"])
    assert ended.exit_code == 2
    assert "PUSHGATEWAY_URL is no address" in ended.output
    ended = CliRunner().invoke(
        build_app(), ["audit", "--target", "nowhere", "--json", f"{tmp_path}"]
    )
    assert ended.exit_code == 2
    assert "there is no target 'nowhere'" in ended.output
