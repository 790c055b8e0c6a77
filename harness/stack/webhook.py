"""Registers a webhook endpoint at Stripe, as an adopter would: by Stripe's own API."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.stack.process import direct

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_S = 10.0


def make_endpoint(
    stripe_url: str, api_key: str, webhook_url: str, events: Sequence[str] = ("*",)
) -> str:
    """Create an endpoint that receives these events; return its signing secret (``whsec_…``)."""
    asked = [("url", webhook_url), *(("enabled_events[]", event) for event in events)]
    request = urllib.request.Request(  # noqa: S310 - an address that the stack reserved itself
        f"{stripe_url}/v1/webhook_endpoints",
        data=urllib.parse.urlencode(asked).encode(),
        headers={"Authorization": f"Bearer {api_key}"},
    )
    try:
        with direct.open(request, timeout=TIMEOUT_S) as reply:
            secret = json.load(reply)["secret"]
    except urllib.error.HTTPError as error:
        with error:
            refusal = error.read(500).decode(errors="replace")
        raise _failure(f"status {error.code}: {refusal}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _failure(f"{type(error).__name__}: {error}") from error
    if not isinstance(secret, str):
        raise _failure("the secret is not a string")
    return secret


def _failure(what: str) -> StackError:
    return StackError(
        f"the Stripe simulator did not make a webhook endpoint: {what}",
        hint="Read stripe.log in the stack's folder (keep it with `keep`).",
    )
