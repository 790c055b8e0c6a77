"""``/v1/events`` and ``/v1/webhook_endpoints``."""

import ipaddress
import re
from urllib.parse import urlsplit

from simulators.stripe.endpoint_secrets import to_resend
from simulators.stripe.errors import InvalidRequest
from simulators.stripe.lists import Filter, page
from simulators.stripe.resources.common import retriever
from simulators.stripe.routes import Call, Route
from simulators.stripe.schema import (
    ID,
    METADATA,
    Array,
    Field,
    Flag,
    Params,
    Text,
    TimeRange,
    listing,
    merge_metadata,
)
from simulators.stripe.versions import SUPPORTED, refusal
from simulators.stripe.world import World
from simulators.webhooks.events import Obj, is_subscribed

_ENDPOINTS_MAX = 16
_KEPT_S = 30 * 86_400
_TYPES = Array(ID, 500)
_EVENT_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")

_FIELDS: dict[str, Field] = {
    "description": Text(),
    "enabled_events": _TYPES,
    "metadata": METADATA,
    "url": Text(clearable=False),
}


def list_events(world: World, call: Call) -> Obj:
    """List the events of the last thirty days."""
    wanted = call.params.get("types", [])
    if "type" in call.params:
        if wanted:
            raise InvalidRequest("You may not specify both type and types.", param="types")
        wanted = [call.params["type"]]
    oldest = world.account_now - _KEPT_S
    filters: list[Filter] = [lambda event: event["_recorded_at"] > oldest]
    if wanted:
        filters.append(_of_types(wanted))
    if "delivery_success" in call.params:
        succeeded = call.params["delivery_success"]
        filters.append(lambda event: (event["pending_webhooks"] == 0) == succeeded)
    return page(call, world.store.all("event"), where=filters)


def _of_types(wanted: list[str]) -> Filter:
    """Keep events whose type is named, or falls under a prefix such as ``invoice.*``."""
    prefixes = tuple(name[:-1] for name in wanted if name.endswith(".*")) or "\n"
    return lambda event: is_subscribed(wanted, event["type"]) or event["type"].startswith(prefixes)


def retry_event(world: World, call: Call) -> Obj:
    """Send an event again, as ``stripe events resend`` asks (the address is undocumented)."""
    event = world.fetch("event", call.id)
    world.resend(event, to_resend(world, event, call.params.get("webhook_endpoint")))
    return event


def create_endpoint(world: World, call: Call) -> Obj:
    """Create an endpoint; only this answer tells its secret."""
    if len(_living(world)) >= _ENDPOINTS_MAX:
        raise InvalidRequest(
            f"You have reached the maximum of {_ENDPOINTS_MAX} test webhook endpoints.",
        )
    _check_url(call.params["url"])
    secret = f"whsec_{world.ids.letters(32)}"
    endpoint = world.store.insert(
        {
            "id": world.ids.new("we"),
            "object": "webhook_endpoint",
            "api_version": _check_version(call.params.get("api_version")),
            "application": None,
            "created": world.now,
            "description": call.params.get("description"),
            "enabled_events": _check_types(call.params["enabled_events"]),
            "livemode": False,
            "metadata": merge_metadata({}, call.params.get("metadata")),
            "status": "enabled",
            "url": call.params["url"],
            "_secrets": [secret],
        }
    )
    return {**endpoint, "secret": secret}


def _living(world: World) -> list[Obj]:
    return [item for item in world.store.all("webhook_endpoint") if not item.get("deleted")]


def _check_url(url: str) -> None:
    """Refuse what nothing can be sent to. Plain http is allowed: receivers here are local."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or not _is_host(host):
        raise InvalidRequest(
            "Invalid URL: An explicit scheme (such as https) must be provided.",
            code="url_invalid",
            param="url",
        )


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.isascii() and all(label for label in host.rstrip(".").split("."))
    return True


def _check_version(version: str | None) -> str | None:
    if version is not None and version not in SUPPORTED:
        raise InvalidRequest(refusal(version), param="api_version")
    return version


def _check_types(types: list[str]) -> list[str]:
    if not types:
        raise InvalidRequest("Invalid array: must not be empty", param="enabled_events")
    if "*" in types and len(types) > 1:
        raise InvalidRequest("`*` cannot be combined with other events.", param="enabled_events")
    for event_type in types:
        if event_type != "*" and not _EVENT_TYPE.fullmatch(event_type):
            raise InvalidRequest(
                f"Invalid enabled_events: {event_type[:100]} is no event type",
                param="enabled_events",
            )
    return types


def update_endpoint(world: World, call: Call) -> Obj:
    """Change address, filters, or whether the endpoint is on."""
    endpoint = world.fetch("webhook_endpoint", call.id)
    changes = call.pick("description", "enabled_events", "url")
    if "url" in changes:
        _check_url(changes["url"])
    if "enabled_events" in changes:
        _check_types(changes["enabled_events"])
    if "disabled" in call.params:
        changes["status"] = "disabled" if call.params["disabled"] else "enabled"
    if "metadata" in call.params:
        changes["metadata"] = merge_metadata(endpoint["metadata"], call.params["metadata"])
    return world.store.set(endpoint, **changes)


def delete_endpoint(world: World, call: Call) -> Obj:
    """Delete an endpoint; what was on its way to it is dropped."""
    endpoint = world.fetch("webhook_endpoint", call.id)
    world.store.delete(endpoint)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def list_endpoints(world: World, call: Call) -> Obj:
    """List endpoints."""
    return page(call, _living(world))


ROUTES = [
    Route(
        "GET",
        "/v1/events",
        list_events,
        listing(created=TimeRange(), delivery_success=Flag(), type=ID, types=Array(ID, 20)),
    ),
    Route("GET", "/v1/events/{id}", retriever("event")),
    Route(
        "POST",
        "/v1/events/{id}/retry",
        retry_event,
        Params({"account": ID, "for_stripecli": Flag(), "webhook_endpoint": ID}),
    ),
    Route(
        "POST",
        "/v1/webhook_endpoints",
        create_endpoint,
        Params({**_FIELDS, "api_version": Text()}, ("enabled_events", "url")),
    ),
    Route("GET", "/v1/webhook_endpoints", list_endpoints, listing()),
    Route("GET", "/v1/webhook_endpoints/{id}", retriever("webhook_endpoint")),
    Route(
        "POST",
        "/v1/webhook_endpoints/{id}",
        update_endpoint,
        Params({**_FIELDS, "disabled": Flag()}),
    ),
    Route("DELETE", "/v1/webhook_endpoints/{id}", delete_endpoint),
]
