"""A test clock of Stripe's: the customers made on it live by it, and nobody else's time moves.

https://docs.stripe.com/billing/testing/test-clocks: test mode only, three customers to a clock,
deleting it deletes them. The Stripe simulator keeps to the same rules.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

from harness.errors import StagingError, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

PER_CLOCK = 3
_PATH = "/v1/test_helpers/test_clocks"
_TIMEOUT_S = 20.0
_READY_S = 300.0
_POLL_FIRST_S = 0.05
_POLL_MAX_S = 2.0
_NOT_ALLOWED = frozenset({401, 403})
_REFUSED_FROM = 400


class TestClock:
    """The one clock of a staging, known by its name; `settle` lets what follows take effect.

    Each method raises `StagingError` where Stripe refuses or does not answer.
    """

    __test__ = False  # no test of pytest's, whatever its name

    def __init__(self, api_base: str, key: str, name: str, settle: Callable[[], None]) -> None:
        self._base = api_base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._name = name
        self._settle = settle
        self.id: str | None = None

    def start(self, now: int) -> str:
        """Make the clock, standing at a moment in Unix seconds; give its id."""
        made = self._ask("POST", "", {"name": self._name, "frozen_time": str(now)})
        self.id = str(made["id"])
        return self.id

    def advance_to(self, moment: int) -> int:
        """Move it on, wait until Stripe has done what falls due, and let the target follow."""
        self._ask("POST", f"/{self.id}/advance", {"frozen_time": str(moment)})
        ends_at, pause_s = time.monotonic() + _READY_S, _POLL_FIRST_S
        while (status := self._ask("GET", f"/{self.id}")["status"]) != "ready":
            if status == "internal_failure":
                raise Unknown("Stripe could not move the test clock")
            if time.monotonic() > ends_at:
                raise Unknown(f"the test clock was not ready within {_READY_S:g} s")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _POLL_MAX_S)
        self._settle()
        return moment

    def remove_all(self) -> int:
        """Delete every clock of this name, whoever made it, with its customers; give how many."""
        doomed: list[str] = []
        query = {"limit": "100"}
        while True:
            page = self._ask("GET", "", query)
            doomed += [each["id"] for each in page["data"] if each.get("name") == self._name]
            if not page["has_more"]:
                break
            query["starting_after"] = page["data"][-1]["id"]
        for clock in doomed:
            self._ask("DELETE", f"/{clock}")
        return len(doomed)

    def _ask(self, method: str, path: str, sent: dict[str, str] | None = None) -> Any:
        query, form = (sent, None) if method == "GET" else (None, sent)
        try:
            with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
                url = f"{self._base}{_PATH}{path}"
                answer = client.request(method, url, headers=self._headers, params=query, data=form)
                body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise StagingError(
                f"Stripe did not answer {method} {_PATH}{path}: {error!r}",
                hint="Check [payment_provider] in the profile, and run the same again.",
            ) from None
        if answer.status_code in _NOT_ALLOWED:
            raise StagingError(
                f"Stripe's key may not use test clocks: HTTP {answer.status_code}",
                hint="Give the key that `stripe_key_env` names the right to write test clocks,"
                " and run the same again.",
            )
        if answer.status_code >= _REFUSED_FROM:
            told = body.get("error", {}).get("message", "no reason")
            raise StagingError(
                f"Stripe refused {method} {_PATH}{path}: {told}",
                hint="Mend that, and run the same again.",
            )
        return body
