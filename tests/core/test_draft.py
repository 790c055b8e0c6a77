"""Drafts of documents in several styles: what is found, what is asked, what can be read."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ProfileError
from harness.operations import OPERATIONS
from harness.target.load import find_target
from harness.target.reader import BLANK
from tests.cli.command import CHECKOUT
from tests.core.drafting import (
    CAMEL,
    STRIPE_LIKE,
    document,
    drafted,
    filled,
    operation,
    read,
    schema,
)

if TYPE_CHECKING:
    from pathlib import Path

    from harness.target.draft import Draft

PARTS = ("as", "request", "query", "body", "words", "reply", "values")
LISTED = ("path", "reply", "values")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the reference's own document."""
    from simulators.billing import serving
    from simulators.billing.http.app import create_app
    from simulators.billing.settings import Settings
    from simulators.billing.storage import migrate
    from simulators.billing.storage.database import Database

    url = f"sqlite:///{tmp_path_factory.mktemp('reference') / 'billing.db'}"
    settings = Settings.model_validate(
        {
            "stripe_api_key": "sk_test_1",
            "key_hmac_secret": "hmac-secret-of-the-tests",
            "test_control_token": "test-control-token-of-the-tests",
            "environment": "test",
            "database_url": url,
        }
    )
    database = Database(url)
    migrate.upgrade(database)
    migrate.mark(database, settings.environment)
    database.dispose()
    core = serving.build_core(settings)
    found: dict[str, Any] = json.loads(json.dumps(create_app(core).openapi()))
    core.database.dispose()
    return found


@pytest.fixture(scope="module")
def loom() -> dict[str, Any]:
    """Give Loom's own document."""
    from tests.targets.loom.api import Loom, build

    nothing: Any = None
    app = build(Loom(nothing, nothing, nothing, nothing, operator_key="k", webhook_secret="s"))
    found: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return found


def _differences(drafted_: dict[str, Any], written: dict[str, Any]) -> dict[str, list[str]]:
    """Name what each operation's draft lacks of what a person wrote, or has otherwise."""
    found: dict[str, list[str]] = {}
    for name, mapping in written["operations"].items():
        own = drafted_["operations"].get(name, {})
        wrong = [part for part in PARTS if not _holds(own.get(part), mapping.get(part))]
        items, due = own.get("items", {}), mapping.get("items", {})
        wrong += [f"items.{part}" for part in LISTED if not _holds(items.get(part), due.get(part))]
        page, turning = items.get("page", {}), due.get("page", {})
        keys = ("style", "param", "next", "total")
        wrong += [f"items.page.{k}" for k in keys if page.get(k) != turning.get(k)]
        found[name] = wrong
    return found


def _holds(own: Any, due: Any) -> bool:
    """Whether a draft has all of what is due; more of it does no harm."""
    if isinstance(due, dict):
        return isinstance(own, dict) and all(_holds(own.get(key), v) for key, v in due.items())
    return due is None or own == due


def test_the_reference_is_drafted_as_a_person_wrote_it(reference: dict[str, Any]) -> None:
    """Of the reference's operations all are found, and drafted with every part of its profile."""
    draft, data = drafted(reference)
    written = find_target("reference").file.data
    differences = _differences(data, dict(written))
    assert set(draft.mapped) == set(OPERATIONS)
    assert [name for name, parts in differences.items() if {"as", "request"} & set(parts)] == []
    right = [name for name, parts in differences.items() if not parts]
    # Of the rest no schema says it: points of failure, and which of its numbers counts a month.
    assert len(right) >= len(differences) - 3, differences
    assert data["target"]["idempotency_header"] == written["target"]["idempotency_header"]
    assert data["target"]["refusal_code"] == written["target"]["refusal_code"]
    assert data["webhooks"]["path"] == written["webhooks"]["path"]
    for role, auth in data["auth"].items():
        assert list(auth["headers"]) == list(written["auth"][role]["headers"])


def test_loom_is_drafted_but_for_what_no_document_says(loom: dict[str, Any]) -> None:
    """All that Loom's profile maps is found; what is missing are meanings of its own words."""
    draft, data = drafted(loom)
    written = tomllib.loads((CHECKOUT / "tests/targets/loom.toml").read_text("utf-8"))
    assert set(written["operations"]) <= set(draft.mapped)
    wrong = {name: parts for name, parts in _differences(data, written).items() if parts}
    said_by_words_of_its_own = {"values"}
    told = {name: set(parts) - said_by_words_of_its_own for name, parts in wrong.items()}
    # That a yard is what is sold, and that an invoice's own id serves twice.
    assert {name: parts for name, parts in told.items() if parts} == {
        "get_balance": {"reply"},
        "list_invoices": {"items.reply"},
    }
    assert set(wrong) <= set(draft.unsure), "what is not as written is asked about"
    assert data["catalog"]["currency"] == written["catalog"]["currency"]
    assert data["webhooks"]["path"] == written["webhooks"]["path"]
    assert data["auth"]["operator"]["headers"].keys() == {"X-Loom-Operator"}


@pytest.mark.parametrize("style", ["reference", "loom", "stripe", "camel"])
def test_a_draft_can_be_read_once_its_blanks_are_filled(
    style: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """As drafted, one error names every blank and nothing else; filled in, there is no mistake."""
    found = {"stripe": STRIPE_LIKE, "camel": CAMEL}.get(style) or request.getfixturevalue(style)
    draft, _ = drafted(found)
    assert draft.blanks
    with pytest.raises(ProfileError) as caught:
        read(draft.text, tmp_path)
    assert {problem.key for problem in caught.value.problems} == set(draft.blanks)
    assert all(BLANK in problem.expected for problem in caught.value.problems)
    assert read(filled(draft.text), tmp_path).profile.operations


def test_forms_ids_as_cursors_and_one_key_are_recognised() -> None:
    """In Stripe's manner: forms, the customer in bodies and queries, the last id as cursor."""
    draft, data = drafted(STRIPE_LIKE)
    assert data["target"]["encoding"] == "form"
    assert data["target"]["base_url"] == "https://api.acme.example"
    assert data["auth"] == {
        "operator": {"basic": {"user": BLANK, "password": "${ACME_OPERATOR_KEY}"}}
    }
    operations = data["operations"]
    assert {mapping["as"] for mapping in operations.values()} == {"operator"}
    assert operations["subscribe"]["body"]["customer"] == "{customer}"
    assert operations["refund_payment"]["body"] == {
        "charge": "{payment}",
        "amount": "{amount_minor}",
    }
    invoices = operations["list_invoices"]
    assert invoices["query"] == {"customer": "{customer}"}
    assert invoices["items"]["page"]["next"] == "has_more && data[-1].id"
    assert invoices["items"]["page"]["size"] == 50
    assert draft.mapped["get_customer"] == "GET /v1/customers/{customer}"


def test_nested_bodies_location_jobs_and_pages_are_recognised() -> None:
    """Camel case in wrappers, an id in Location, a job to be polled, pages that begin at nought."""
    draft, data = drafted(CAMEL)
    operations = data["operations"]
    created = operations["create_customer"]
    assert created["body"]["contact"] == {"emailAddress": "{email}", "fullName": "{name}"}
    assert created["body"]["segment"] == BLANK
    assert created["reply"]["customer"].startswith("header:Location")
    assert data["target"]["refusal_code"] == "error.errorCode"
    settle = operations["record_usage"]["settle"]
    assert operations["record_usage"]["accepted"] == [202]
    assert settle["poll"] == "GET /accounts/{customer}/usageEvents/{usage_id}"
    assert (settle["until"], settle["refused"]) == ("state == 'completed'", "state == 'rejected'")
    assert data["catalog"]["money"] == "decimal_string"
    ledger = operations["list_ledger"]["items"]
    assert ledger["page"] == {
        "style": "page",
        "param": "page",
        "size_param": "pageSize",
        "size": 100,
        "start": 0,
        "total": "totalCount",
    }
    assert ledger["values"] == {"source": {"welcome": "trial_signup", "spent": "consumed"}}
    assert "webhooks" not in data, "endpoints that are managed receive nothing"
    assert {"create_customer", "record_usage"} <= set(draft.unsure)


def test_what_could_be_two_things_is_asked() -> None:
    """Two operations that fit alike: one is written, the other is named in a question."""
    reply = schema(id="string", credits="integer")
    twice = document(
        {
            "/customers/{id}/wallet": {"get": operation(None, reply)},
            "/customers/{id}/balance": {"get": operation(None, reply)},
        }
    )
    draft, _ = drafted(twice)
    assert draft.unsure == ("get_balance",)
    assert "# ? request: could also be GET /customers/{id}/" in draft.text


def test_what_was_not_found_is_listed_as_skeletons() -> None:
    """Each operation that the document lacks stands at the end, as comments that are TOML."""
    draft, _ = drafted(CAMEL)
    assert "close_customer" in draft.missing
    _, _, tail = draft.text.partition("# Not found in the document.")
    plain = "\n".join(line.removeprefix("#").strip() for line in tail.splitlines()[2:])
    skeletons = tomllib.loads(plain)["operations"]
    assert set(skeletons) == set(draft.missing) - {"receive_webhook"}


def test_the_commented_facts_are_toml_as_well(reference: dict[str, Any], tmp_path: Path) -> None:
    """Whoever takes the comment signs away from the questions has a profile that can be read."""
    draft, _ = drafted(reference)
    head, _, facts = filled(draft.text).partition("# Facts of your product")
    lines = [line for line in facts.splitlines()[1:] if not line.startswith(("# ?", "#   "))]
    profile = read(head + "\n".join(line.removeprefix("# ") for line in lines), tmp_path).profile
    assert {plan.role for plan in profile.catalog.plans.values()} == {"trial", "payg", "pro"}
    assert profile.clock
    assert profile.payment_provider


def _header_only() -> dict[str, Any]:
    key = {"in": "header", "name": "X-Api-Key", "required": True, "schema": {"type": "string"}}
    version = {"in": "header", "name": "X-Version", "required": True, "schema": {"const": "7"}}
    made = schema(id="string", token="string")
    return document(
        {
            "/tenants": {
                "post": operation(schema("email", email="string"), made, parameters=[version])
            },
            "/tenants/{tenant}/cards": {
                "post": operation(schema("token", token="string"), schema(id="string"))
                | {"parameters": [key]}
            },
        }
    )


def test_a_key_that_is_a_mere_header_parameter_is_found() -> None:
    """Without security schemes the header is taken for one; other headers are sent always."""
    _, data = drafted(_header_only(), "http://127.0.0.1:4300")
    assert data["auth"] == {"customer": {"headers": {"X-Api-Key": "{credential}"}}}
    assert data["operations"]["create_customer"]["as"] == "anonymous"
    assert data["target"]["headers"] == {"X-Version": "7"}
    assert data["target"]["base_url"] == "http://127.0.0.1:4300"
    assert data["target"]["environment"] == "test"


def _foreign() -> dict[str, Any]:
    """Describe an API that calls customers riders, and identifies them by headers of its own."""
    keys = [
        {"in": "header", "name": name, "schema": {"type": "string"}}
        for name in ("X-Harbour-Key", "X-Rider-Secret")
    ]
    made = schema(id="string", secret="string")
    rider = {"parameters": keys[::-1]}
    return document(
        {
            "/riders": {
                "post": operation(schema("mail", mail="string"), made, parameters=keys[:1])
            },
            "/riders/{no}/cards": {
                "post": operation(schema("token", token="string"), schema(id="string")) | rider
            },
            "/riders/{no}/receipts": {"get": operation(None, schema(rows="string")) | rider},
            "/riders/{no}/trips": {
                "post": operation(schema("dock", "legs", dock="string", legs="integer")) | rider
            },
        }
    )


def test_a_word_of_its_own_for_customers_is_found_by_what_stands_under_it() -> None:
    """Who owns most is the customer; what fits nothing is shown, with what it takes and gives."""
    draft, data = drafted(_foreign())
    found = {name: mapped["request"] for name, mapped in data["operations"].items()}
    assert found["create_customer"] == "POST /riders"
    assert found["add_payment_method"] == "POST /riders/{customer}/cards"
    assert "# POST /riders/{no}/trips   takes dock, legs" in draft.text
    assert {role: list(auth["headers"]) for role, auth in data["auth"].items()} == {
        "operator": ["X-Harbour-Key"],
        "customer": ["X-Rider-Secret"],
    }


def test_figures_of_a_draft_are_those_of_its_text() -> None:
    """The number of questions and the blanks are what a reader of the text can count."""
    draft: Draft = drafted(CAMEL)[0]
    assert draft.questions == sum(line.startswith("# ? ") for line in draft.text.splitlines())
    assert draft.text.count(f'"{BLANK}"') - 1 == len(draft.blanks)  # the head explains them


def test_lists_of_events_and_states_are_not_taken_for_ids() -> None:
    """A batch is no single usage, a payment's state no payment, and an own id no foreign one."""
    event = schema("transaction_id", transaction_id="string", timestamp="integer")
    item = schema(
        lago_id="string",
        external_payment_id="string",
        amount_cents="integer",
        payment_status="string",
    )
    draft, data = drafted(
        document(
            {
                "/events": {"post": operation(schema("event", event=event), schema())},
                "/events/batch": {
                    "post": operation(schema(events={"type": "array", "items": event}), schema())
                },
                "/payments": {
                    "get": operation(None, schema(payments={"type": "array", "items": item}))
                },
                "/subscriptions/{id}": {"put": operation(schema(name="string"), schema())},
            }
        )
    )
    assert data["operations"]["record_usage"]["body"] == {
        "event": {"transaction_id": "{usage_id}", "timestamp": "{at}"}
    }
    assert data["operations"]["list_payments"]["items"]["reply"] == {
        "payment": "lago_id",
        "amount_minor": "amount_cents",
        "provider_id": "external_payment_id",
        "state": "payment_status",
    }
    assert "change_subscription" not in set(draft.mapped) - set(draft.unsure)
