"""The API's page for people: made from the OpenAPI document, and readable without a network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template

router = APIRouter(include_in_schema=False)
# Nothing is loaded from anywhere, and nothing runs.
_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline';"
    " base-uri 'none'; frame-ancestors 'none'"
}


@router.get("/docs")
def docs(request: Request) -> Response:
    """Show every operation with its fields, answers and problem codes."""
    document = request.app.openapi()
    operations = list(_operations(document))
    page = _template().render(info=document["info"], operations=operations)
    return HTMLResponse(page, headers=_POLICY)


@cache
def _template() -> Template:
    # Imported late: a template engine is no part of serving the API.
    from jinja2 import Environment, FileSystemLoader

    folder = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=folder, autoescape=True).get_template("docs.html.j2")


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            yield {
                "id": operation["operationId"],
                "method": method.upper(),
                "path": path,
                "tag": operation.get("tags", [""])[0],
                "description": operation.get("description", ""),
                "keys": sorted({name for each in operation.get("security", ()) for name in each}),
                "parameters": operation.get("parameters", ()),
                "fields": list(_fields(document, body.get("schema", {}))),
                "replies": [
                    _reply(document, status, reply)
                    for status, reply in operation["responses"].items()
                ],
            }


def _reply(document: Mapping[str, Any], status: str, reply: Mapping[str, Any]) -> dict[str, Any]:
    content: Mapping[str, Any] = next(iter(reply.get("content", {}).values()), {})
    is_problem = "examples" in content
    return {
        "status": status,
        "codes": list(content.get("examples", {})),
        "description": reply.get("description", ""),
        "fields": [] if is_problem else list(_fields(document, content.get("schema", {}))),
    }


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = _resolved(document, schema)
    required = found.get("required", ())
    for name, field in found.get("properties", {}).items():
        told = _resolved(document, field)
        yield {
            "name": name,
            "type": _type(document, field),
            "is_required": name in required,
            "note": told.get("description", ""),
        }


def _type(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Say in a few words what a value is.

    >>> _type({}, {"type": "array", "items": {"type": "string"}})
    'list of string'
    >>> _type({}, {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'integer ≥ 1 or null'
    """
    if "anyOf" in schema:
        return " or ".join(_type(document, each) for each in schema["anyOf"])
    found = _resolved(document, schema)
    if "enum" in found:
        return " | ".join(str(value) for value in found["enum"])
    if "const" in found:
        return str(found["const"])
    if found.get("type") == "array":
        return f"list of {_type(document, found.get('items', {}))}"
    bounds = [
        f"{sign} {found[name]}"
        for name, sign in (("minimum", "≥"), ("maximum", "≤"))
        if name in found
    ]
    return " ".join([str(found.get("title" if "properties" in found else "type", "any")), *bounds])


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
    return found
