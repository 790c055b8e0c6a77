"""Starts the reference service in a container: `python -m harness.stack.container`.

The endpoint's secret is made by the Stripe simulator at the start and is never written down: where
BILLING_STRIPE_WEBHOOK_SECRETS is not given, the endpoint at WEBHOOK_URL is made anew, one of an
earlier start is taken away, and the service takes this process's place with the new secret.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, StackError
from harness.stack.process import direct
from harness.stack.webhook import TIMEOUT_S, make_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED = ("BILLING_STRIPE_API_BASE", "BILLING_STRIPE_API_KEY", "WEBHOOK_URL")
SECRETS = "BILLING_STRIPE_WEBHOOK_SECRETS"
SERVE = ("simulators.billing", "serve", "--host", "0.0.0.0", "--port", "8000")  # noqa: S104 - a container's own network


def secrets_for(environment: Mapping[str, str]) -> str:
    """Give the endpoint's secret; raises `StackError` where it cannot be made."""
    if given := environment.get(SECRETS):
        return given
    if lacking := [name for name in NEEDED if not environment.get(name)]:
        raise StackError(f"{', '.join(lacking)} must be set", hint="compose.yaml sets them.")
    stripe, key, url = (environment[name] for name in NEEDED)
    _forget(stripe, key, url)
    return make_endpoint(stripe, key, url)


def _forget(stripe: str, key: str, url: str) -> None:
    """Take away what an earlier start made for this address: its secret is gone with it."""
    path = f"{stripe}/v1/webhook_endpoints"
    try:
        for each in _asked(f"{path}?limit=100", key)["data"]:
            if each["url"] == url:
                _asked(f"{path}/{each['id']}", key, "DELETE")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StackError(
            f"the endpoints at {stripe} cannot be listed: {error}", hint="Is the simulator up?"
        ) from error


def _asked(url: str, key: str, method: str = "GET") -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - an address of the owner's
    with direct.open(request, timeout=TIMEOUT_S) as reply:
        return json.load(reply)


def main() -> int:
    """Become the service; give the status 2 where that cannot be."""
    try:
        secret = secrets_for(os.environ)
    except HarnessError as error:
        sys.stderr.write(f"{error.message}\n  → {error.hint}\n")
        return 2
    os.environ[SECRETS] = secret
    return os.execv(sys.executable, [sys.executable, "-P", "-m", *SERVE])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
