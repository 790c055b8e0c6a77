"""Which secrets sign for an endpoint, and which endpoints an event can be sent to again.

A rolled secret signs beside the new one until it expires, at most 24 hours later
(https://docs.stripe.com/webhooks#roll-endpoint-secrets).
"""

from simulators.stripe.errors import InvalidRequest
from simulators.stripe.world import World
from simulators.webhooks.events import Obj, is_subscribed

OVERLAP_MAX_S = 24 * 3_600


def roll(world: World, endpoint: Obj, overlap_s: int) -> str:
    """Give an endpoint a new secret and return it; the old one expires after `overlap_s`."""
    secret = f"whsec_{world.ids.letters(32)}"
    until = world.account_now + overlap_s
    retiring = [[old, until] for old in endpoint["_secrets"]]
    kept = [each for each in endpoint.get("_retiring", []) if each[1] > world.account_now]
    world.store.set(endpoint, _secrets=[secret], _retiring=[*retiring, *kept])
    return secret


def valid_secrets(endpoint: Obj, now: int) -> tuple[str, ...]:
    """Return the secrets that sign now, the newest first."""
    retiring = [secret for secret, until in endpoint.get("_retiring", []) if until > now]
    return (*endpoint["_secrets"], *retiring)


def to_resend(world: World, event: Obj, endpoint_id: object) -> list[Obj]:
    """Return the endpoint that is named, or all enabled ones that want the event's type."""
    if isinstance(endpoint_id, str):
        endpoint = world.fetch("webhook_endpoint", endpoint_id, "webhook_endpoint")
        if endpoint["status"] != "enabled":
            raise InvalidRequest(
                f"The webhook endpoint {endpoint_id} is disabled.", param="webhook_endpoint"
            )
        return [endpoint]
    return [
        endpoint
        for endpoint in world.store.all("webhook_endpoint")
        if endpoint["status"] == "enabled"
        and is_subscribed(endpoint["enabled_events"], event["type"])
    ]
