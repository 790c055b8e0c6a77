"""The API's manners: keys, errors, idempotency, lists, expansion, metadata."""

import base64
import json
from typing import Any

import httpx
import pytest
import stripe

from tests.stripe_sim.conftest import KEY, Account


def post(account: Account, path: str, body: str = "", **headers: str) -> httpx.Response:
    """Send a raw form."""
    form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return account.raw.post(path, content=body, headers=form)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """Return the error object of an answer, which has a type and a message."""
    error: dict[str, Any] = response.json()["error"]
    assert error["type"] in {
        "api_error",
        "card_error",
        "idempotency_error",
        "invalid_request_error",
    }
    assert error["message"]
    return error


LIVE_KEY = "sk_live_12345678901234"  # scan: allow(made up, to be refused)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        f"Bearer {LIVE_KEY}",
        "Bearer pk_test_1234",
        "Bearer nonsense",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff:").decode(),
        "Digest sk_test_1",
    ],
)
def test_a_key_that_is_not_a_test_key_gets_401(account: Account, authorization: str) -> None:
    """Only plausible test keys may call; the answer shows no whole key."""
    request = account.raw.build_request(
        "GET", "/v1/customers", headers={"Authorization": authorization}
    )
    answer = account.raw.send(request, auth=None)
    assert answer.status_code == 401
    assert LIVE_KEY not in answer.text
    assert error_of(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize("key", ["sk_test_1", "rk_test_abc_DEF"])
def test_bearer_and_basic_keys_are_taken(account: Account, key: str) -> None:
    """A key can be given as Bearer or as the user name of Basic."""
    bearer = {"Authorization": f"Bearer {key}"}
    request = account.raw.build_request("GET", "/v1/customers", headers=bearer)
    assert account.raw.send(request, auth=None).status_code == 200
    assert account.raw.get("/v1/customers", auth=(key, "")).status_code == 200


def test_answers_carry_request_id_and_version(account: Account) -> None:
    """Every answer names its request and the version it was made for."""
    answer = account.raw.get("/v1/customers", headers={"Stripe-Version": "2025-03-31.basil"})
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == "2025-03-31.basil"
    refused = account.raw.get("/v1/customers", headers={"Stripe-Version": "tomorrow"})
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/unheard_of"),
        ("GET", "/"),
        ("POST", "/v1/customers/cus_1/nonsense"),
        ("PUT", "/v1/customers"),
        ("DELETE", "/v1/events/evt_1"),
        ("GET", "/v1/customers/"),
        ("GET", "/v2/core/events"),
    ],
)
def test_an_unknown_address_is_answered_as_stripe_does(
    account: Account, method: str, path: str
) -> None:
    """What is not built is a 404 that names method and path."""
    answer = account.raw.request(method, path)
    if path == "/v1/customers/":
        assert answer.status_code == 200
        return
    assert answer.status_code == 404
    assert f"({method}: {path})" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/v1/customers", "nonsense=1", "parameter_unknown", "nonsense"),
        ("/v1/customers", "address[planet]=x", "parameter_unknown", "address[planet]"),
        ("/v1/customers", "address=x", None, "address"),
        ("/v1/customers", "email[a]=x", None, "email"),
        ("/v1/customers", "a[b]=1&a=2", None, "a"),
        ("/v1/customers", "a=1&a[b]=2", None, "a[b]"),
        ("/v1/customers", "metadata[a][b]=x", None, "metadata[a]"),
        ("/v1/customers", "balance=ten", "parameter_invalid_integer", "balance"),
        ("/v1/customers", "balance=" + "9" * 40, "parameter_invalid_integer", "balance"),
        ("/v1/customers", "expand=x", None, "expand"),
        ("/v1/customers", "expand[]=nonsense", None, "expand"),
        ("/v1/customers", "[]=x", None, "[]"),
        ("/v1/customers", "a" + "[b]" * 30 + "=1", None, "a"),
        ("/v1/payment_intents", "", "parameter_missing", "amount"),
        ("/v1/payment_intents", "amount=100", "parameter_missing", "currency"),
        ("/v1/payment_intents", "amount=-5&currency=usd", "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", "amount=1.5&currency=usd", "parameter_invalid_integer", "amount"),
        ("/v1/payment_intents", "amount=500&currency=zzz", None, "currency"),
        ("/v1/payment_intents", "amount=500&currency=usd&confirm=yes", None, "confirm"),
        (
            "/v1/payment_intents",
            "amount=500&currency=usd&customer=",
            "parameter_invalid_empty",
            "customer",
        ),
        (
            "/v1/payment_intents",
            "amount=500&currency=usd&customer=cus_none",
            "resource_missing",
            "customer",
        ),
        (
            "/v1/payment_intents",
            "amount=500&currency=usd&payment_method=cus_1",
            "resource_missing",
            "payment_method",
        ),
        ("/v1/prices", "currency=usd&unit_amount=5&product=x", "resource_missing", "product"),
        ("/v1/prices", "currency=usd&unit_amount=5", "parameter_missing", "product"),
        (
            "/v1/prices",
            "currency=usd&unit_amount=5&product=x&recurring[interval]=hour",
            None,
            "recurring[interval]",
        ),
        ("/v1/subscriptions", "customer=c&items=x", None, "items"),
        ("/v1/subscriptions", "customer=c&items[x][price]=p", None, "items"),
        ("/v1/refunds", "", "parameter_missing", "payment_intent"),
    ],
)
def test_bad_parameters_name_what_is_wrong(
    account: Account, path: str, body: str, code: str | None, param: str
) -> None:
    """Every bad parameter is a 400 with Stripe's code and the parameter's name."""
    answer = post(account, path, body)
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert (error.get("code"), error["param"]) == (code, param)
    assert account.event_types() == []


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b'{"email": "a@b.c"}', "application/json", 400),
        (b"email=%ff", "application/x-www-form-urlencoded", 400),
        (b"email=\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 3_000, "application/x-www-form-urlencoded", 400),
        (b"email=" + b"x" * 2_000_000, "application/x-www-form-urlencoded", 413),
        (b"email=" + b"x" * 600, "application/x-www-form-urlencoded", 400),
    ],
)
def test_bodies_that_are_no_forms(
    account: Account, content: bytes, content_type: str, status: int
) -> None:
    """JSON, broken UTF-8, too many fields and too much data are refused with an error object."""
    answer = account.raw.post(
        "/v1/customers", content=content, headers={"Content-Type": content_type}
    )
    assert answer.status_code == status
    error_of(answer)


def test_an_unknown_id_is_404_in_the_path(account: Account) -> None:
    """An id of nothing, or of another kind of object, is a 404 ``resource_missing``."""
    customer = account.stripe.customers.create().id
    for path in ("/v1/customers/cus_none", f"/v1/payment_intents/{customer}", "/v1/refunds/x"):
        answer = account.raw.get(path)
        assert answer.status_code == 404
        assert error_of(answer)["code"] == "resource_missing"


def test_an_idempotency_key_replays_the_first_answer(account: Account) -> None:
    """The same request under the same key happens once and is answered the same."""
    first = post(account, "/v1/customers", "email=a@b.c", **{"Idempotency-Key": "k1"})
    again = post(account, "/v1/customers", "email=a@b.c", **{"Idempotency-Key": "k1"})
    assert again.text == first.text
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert len(account.stripe.customers.list().data) == 1


def test_a_decline_is_replayed_too(account: Account) -> None:
    """An error that came of executing is stored: one failed charge, answered twice."""
    body = "amount=500&currency=usd&payment_method=pm_card_chargeDeclined&confirm=true"
    answers = [
        post(account, "/v1/payment_intents", body, **{"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert answers[0].status_code == answers[1].status_code == 402
    assert answers[0].text == answers[1].text
    assert len(account.journal()["entries"]) == 1


def test_a_key_belongs_to_one_request(account: Account) -> None:
    """Other parameters or another address under a used key are an ``idempotency_error``."""
    post(account, "/v1/customers", "email=a@b.c", **{"Idempotency-Key": "k"})
    for path, body in (("/v1/customers", "email=x@b.c"), ("/v1/products", "name=x")):
        answer = post(account, path, body, **{"Idempotency-Key": "k"})
        assert answer.status_code == 400
        assert error_of(answer)["type"] == "idempotency_error"


def test_a_failed_validation_does_not_use_the_key_up(account: Account) -> None:
    """A request that was refused before it executed can be corrected under the same key."""
    key = {"Idempotency-Key": "k"}
    assert post(account, "/v1/customers", "nonsense=1", **key).status_code == 400
    assert post(account, "/v1/customers", "email=a@b.c", **key).status_code == 200


def test_a_key_is_forgotten_after_a_day(account: Account) -> None:
    """After 24 hours the same key makes something new; keys have at most 255 characters."""
    key = {"Idempotency-Key": "k"}
    first = post(account, "/v1/customers", **key).json()["id"]
    account.advance(account.now + 86_400)
    assert post(account, "/v1/customers", **key).json()["id"] != first
    too_long = post(account, "/v1/customers", **{"Idempotency-Key": "k" * 256})
    assert too_long.status_code == 400


def test_keys_of_different_api_keys_do_not_meet(account: Account) -> None:
    """An idempotency key is known to the API key that used it only."""
    headers = {"Idempotency-Key": "k"}
    ids = {
        account.raw.post("/v1/customers", auth=(key, ""), headers=headers).json()["id"]
        for key in (KEY, "sk_test_other")
    }
    assert len(ids) == 2


def test_expansion_follows_references_through_lists(account: Account) -> None:
    """Paths go through objects and lists; a second path reuses the first one's expansion."""
    customer = account.customer()
    price = account.price()
    account.stripe.subscriptions.create({"customer": customer, "items": [{"price": price}]})
    [found] = account.stripe.subscriptions.list(
        {"expand": ["data.customer", "data.latest_invoice.payments", "data.items.data.price"]}
    ).data
    invoice: Any = found.latest_invoice
    owner: Any = found.customer
    assert owner.id == customer
    assert invoice.payments.data[0].status == "paid"
    payments = account.stripe.invoice_payments.list(
        {"invoice": invoice.id, "expand": ["data.payment.payment_intent.latest_charge"]}
    )
    intent: Any = payments.data[0].payment.payment_intent
    assert intent.latest_charge.status == "succeeded"


def test_expansion_has_limits(account: Account) -> None:
    """Five levels are too many; what is no reference cannot be expanded; nothing is changed."""
    customer = account.customer()
    for path in ("subscriptions.data.latest_invoice.payments.data", "email", "nonsense"):
        answer = account.raw.get(f"/v1/customers/{customer}?expand[]={path}")
        assert answer.status_code == 400
    made = post(account, "/v1/customers", "email=z@b.c&expand[]=nonsense")
    assert made.status_code == 400
    assert account.stripe.customers.list({"email": "z@b.c"}).data == []


def test_metadata_merges_and_has_limits(account: Account) -> None:
    """Keys are merged, "" unsets one or all; 50 keys, 40 and 500 characters are the limits."""
    customers = account.stripe.customers
    made = customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = customers.update(made.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    cleared = customers.update(made.id, {"metadata": ""}).metadata
    assert cleared is not None
    assert cleared.to_dict() == {}
    for bad in ({"k" * 41: "v"}, {"k": "v" * 501}, {str(n): "v" for n in range(51)}):
        with pytest.raises(stripe.InvalidRequestError):
            customers.update(made.id, {"metadata": bad})


def test_unsetting_and_changing_fields(account: Account) -> None:
    """An empty string unsets; only what changed is told in the event."""
    customers = account.stripe.customers
    made = customers.create({"name": "A", "phone": "1", "address": {"city": "X"}})
    raw = post(account, f"/v1/customers/{made.id}", "name=&description=new").json()
    assert (raw["name"], raw["description"], raw["phone"]) == (None, "new", "1")
    [event, *_] = account.stripe.events.list({"type": "customer.updated"}).data
    told = json.loads(json.dumps(event.data.to_dict()))["previous_attributes"]
    assert told == {"name": "A", "description": None}
    before = len(account.event_types())
    customers.update(made.id, {"description": "new"})
    assert len(account.event_types()) == before


def test_catalogue(account: Account) -> None:
    """Products and prices can be made together, renamed, found by key, and retired."""
    product = account.stripe.products.create(
        {"name": "Pro", "default_price_data": {"currency": "usd", "unit_amount": 500}}
    )
    assert product.default_price is not None
    price = account.stripe.prices.create(
        {
            "currency": "usd",
            "unit_amount": 700,
            "product": product.id,
            "lookup_key": "pro",
            "recurring": {"interval": "month"},
        }
    )
    assert account.stripe.prices.list({"lookup_keys": ["pro"]}).data[0].id == price.id
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        account.stripe.prices.create(
            {"currency": "usd", "unit_amount": 1, "product": product.id, "lookup_key": "pro"}
        )
    account.stripe.prices.update(price.id, {"active": False})
    customer = account.customer()
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        account.stripe.subscriptions.create({"customer": customer, "items": [{"price": price.id}]})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        account.stripe.products.delete(product.id)
    other = account.stripe.products.create({"name": "Other"})
    assert account.stripe.products.delete(other.id).deleted is True
    assert [p.id for p in account.stripe.products.list().data] == [product.id]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/simulator/clock", "nonsense"),
        *(("/simulator/clock", f'{{"to": {to}}}') for to in ("5", "true", '"later"')),
        *(("/simulator/clock", body) for body in ('{"running": 1}', '{"until": 5}')),
        *(("/simulator/settle", body) for body in ('{"deadline_s": -1}', "[]")),
        ("/simulator/payment_intents/pi_none/authenticate", "{}"),
    ],
)
def test_bad_commands_are_answered_with_a_sentence(account: Account, path: str, body: str) -> None:
    """The simulator's own API says what is wrong with a command."""
    answer = account.raw.post(path, content=body)
    assert answer.status_code in {400, 404}
    assert answer.json()["error"]
