"""Documents of billing APIs that nobody here has seen, each in a style of its own."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from harness.target.draft import Document, Draft, draft_profile
from harness.target.reader import BLANK

if TYPE_CHECKING:
    from pathlib import Path

    from harness.target.reader import ProfileFile


def drafted(document: dict[str, Any], origin: str | None = None) -> tuple[Draft, dict[str, Any]]:
    """Draft a profile; give it as it is, and as data."""
    draft = draft_profile(Document(document, origin), "document.json")
    return draft, tomllib.loads(draft.text)


def filled(text: str) -> str:
    """Fill in the blanks of a draft as a person would, with something that fits."""
    for key, value in (("base_url", "http://127.0.0.1:1"), ("environment", "test")):
        text = text.replace(f'{key} = "{BLANK}"', f'{key} = "{value}"')
    return text.replace(f'currency = "{BLANK}"', 'currency = "usd"').replace(BLANK, "filled")


def read(text: str, folder: Path) -> ProfileFile:
    """Read a profile from its text."""
    from harness.target.reader import read_profile

    file = folder / "drafted.toml"
    file.write_text(text, "utf-8")
    return read_profile(file)


def schema(*required: str, **properties: Any) -> dict[str, Any]:
    """Give the schema of an object; a type's name stands for a schema of that type."""
    told = {
        name: {"type": value} if isinstance(value, str) else value
        for name, value in properties.items()
    }
    return {"type": "object", "required": list(required), "properties": told}


def operation(
    body: Any = None,
    reply: Any = None,
    status: str = "200",
    kind: str = "application/json",
    **more: Any,
) -> dict[str, Any]:
    """Give one operation of a document."""
    answer: dict[str, Any] = {"description": "", "content": {kind: {"schema": reply or {}}}}
    found: dict[str, Any] = {"responses": {status: answer}, **more}
    if body:
        found["requestBody"] = {"content": {kind: {"schema": body}}}
    return found


def query(**schemas: Any) -> list[dict[str, Any]]:
    """Give parameters of a query."""
    return [{"in": "query", "name": name, "schema": value} for name, value in schemas.items()]


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Give a whole document."""
    return {
        "openapi": "3.0.3",
        "info": {"title": "Acme API", "version": "2"},
        "paths": paths,
        **more,
    }


_CUSTOMER = schema("id", id="string", email="string", balance="integer")
_FORM = "application/x-www-form-urlencoded"

STRIPE_LIKE = document(
    {
        "/v1/customers": {
            "post": operation(schema("email", email="string", name="string"), _CUSTOMER, kind=_FORM)
            | {"operationId": "PostCustomers"},
            "get": operation(None, schema(data={"type": "array", "items": _CUSTOMER})),
        },
        "/v1/customers/{customer}": {
            "get": operation(None, _CUSTOMER, operationId="GetCustomersCustomer"),
            "post": operation(_CUSTOMER, _CUSTOMER, kind=_FORM),
            "delete": operation(None, schema(deleted="boolean")),
        },
        "/v1/subscriptions": {
            "post": operation(
                schema("customer", "price", customer="string", price="string", quantity="integer"),
                schema(id="string", status="string"),
                kind=_FORM,
            )
        },
        "/v1/subscriptions/{id}": {
            "get": operation(None, schema(id="string", status="string", cancel_at="integer")),
            "delete": operation(None, schema(id="string", status="string")),
        },
        "/v1/invoices": {
            "get": operation(
                None,
                schema(
                    has_more="boolean",
                    data={
                        "type": "array",
                        "items": schema(id="string", amount_paid="integer", status="string"),
                    },
                ),
                parameters=query(
                    customer={"type": "string"},
                    starting_after={"type": "string"},
                    limit={"type": "integer", "maximum": 50},
                ),
            )
        },
        "/v1/refunds": {
            "post": operation(
                schema("charge", charge="string", amount="integer"), schema(id="string"), kind=_FORM
            )
        },
    },
    servers=[{"url": "https://{place}.acme.example/", "variables": {"place": {"default": "api"}}}],
    security=[{"basic": []}],
    components={"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
)
"""A form-encoded API: its customer in the body, cursors that are ids, one key for all."""

_ACCOUNT = {"$ref": "#/components/schemas/Account"}
_JOB = schema(
    state={"type": "string", "enum": ["queued", "completed", "rejected"]},
    failureReason="string",
    chargedAmount="string",
)

CAMEL = document(
    {
        "/accounts": {
            "post": {
                "operationId": "createAccount",
                "requestBody": {"content": {"application/json": {"schema": _ACCOUNT}}},
                "responses": {
                    "201": {"description": "made", "headers": {"Location": {}}},
                    "4XX": {
                        "content": {
                            "application/json": {
                                "schema": schema(error=schema(errorCode="string", text="string"))
                            }
                        }
                    },
                },
            }
        },
        "/accounts/{accountId}/usageEvents": {
            "post": operation(
                schema("eventId", "meter", eventId="string", quantity="integer", meter="string"),
                schema(state="string"),
                status="202",
                operationId="recordUsageEvent",
            )
        },
        "/accounts/{accountId}/usageEvents/{eventId}": {"get": operation(None, _JOB)},
        "/accounts/{accountId}/wallet": {
            "get": operation(None, schema(data=schema(creditsRemaining="integer")))
        },
        "/accounts/{accountId}/wallet/transactions": {
            "get": operation(
                None,
                schema(
                    items={
                        "type": "array",
                        "items": schema(
                            delta="integer",
                            balanceAfter="integer",
                            type={"type": "string", "enum": ["welcome", "spent", "other"]},
                            createdAt="string",
                        ),
                    },
                    totalCount="integer",
                ),
                parameters=query(
                    page={"type": "integer", "default": 0}, pageSize={"type": "integer"}
                ),
            )
        },
        "/accounts/{accountId}/plan": {
            "put": operation(schema("planCode", planCode="string"), schema(planCode="string"))
        },
        "/webhookEndpoints": {"post": operation(schema("url", url="string"), schema(id="string"))},
    },
    security=[{"bearer": []}],
    components={
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Contact": schema(
                "emailAddress", emailAddress="string", fullName={"type": ["string", "null"]}
            ),
            "Account": {
                "allOf": [
                    schema("contact", contact={"$ref": "#/components/schemas/Contact"}),
                    schema("region", region={"type": "string", "enum": ["eu", "us"]}),
                    schema("segment", segment="string"),
                    schema(parent={"$ref": "#/components/schemas/Account"}),
                ]
            },
        },
    },
)
"""Camel case, wrappers, schemas made of others, ids in Location, jobs that are polled, pages."""
