"""By what lists may be sorted and filtered: the profile says so, or the OpenAPI document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.target.wire import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.session import Customer, Session

_OK = 200


def parameters_of(billing: Session, operation: str, customer: Customer) -> dict[str, str]:
    """Give a list's parameters, each with a value that it takes; paging is none of them."""
    mapping = billing.target.profile.operations[operation]
    if mapping.items is None:
        return {}
    document = _document(billing, operation, customer)
    told = {**_strings(document, mapping.request), **mapping.items.parameters}
    page = mapping.items.page
    paging = {page.param, page.size_param} if page else set()
    return {name: value for name, value in told.items() if name not in paging}


def _document(billing: Session, operation: str, customer: Customer) -> Mapping[str, Any]:
    """Fetch the target's OpenAPI document in place of a list, where the target serves one."""
    contract = billing.target.profile.contract
    if contract is None or not contract.openapi.startswith("/"):
        return {}
    path = contract.openapi
    billing.perform(operation, customer=customer, alter=lambda _: Call("GET", path))
    reply = billing.last_reply
    try:
        found = reply.json() if isinstance(reply, Reply) and reply.status == _OK else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _strings(document: Mapping[str, Any], request: str) -> dict[str, str]:
    """Give the query's texts of the operation whose path has the same shape as a profile's.

    >>> entry = {"name": "sort", "in": "query", "schema": {"type": "string", "default": "at"}}
    >>> document = {"paths": {"/customers/{id}/items": {"get": {"parameters": [entry]}}}}
    >>> _strings(document, "GET /customers/{customer}/items")
    {'sort': 'at'}
    """
    method, _, path = request.partition(" ")
    shape = re.sub(r"\{[^}]*\}", "{}", path)
    for told, item in document.get("paths", {}).items():
        if re.sub(r"\{[^}]*\}", "{}", told) == shape and method.lower() in item:
            return {
                entry["name"]: str(entry.get("schema", {}).get("default") or "x")
                for entry in item[method.lower()].get("parameters", ())
                if entry.get("in") == "query" and "string" in str(entry.get("schema"))
            }
    return {}
