"""A staging in memory: it can be cut off before or after any request, as a killed command is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from harness.staging.footing import Footing, Way, is_of_test
from harness.staging.record import read_record
from harness.target.mapped import ProfileTarget
from tests.core.making import answer, profile
from tests.core.test_customers import CATALOG, OPERATIONS, Service

if TYPE_CHECKING:
    from pathlib import Path

    from harness.target.wire import Call, Reply

KEY = "Idempotency-Key"
Place = Literal["before", "after"]
LIST = {
    "request": "GET /everybody",
    "items": {"path": "data", "reply": {"customer": "id", "email": "email"}},
}
PURGE = {"purge_customer": {"request": "DELETE /v1/customers/{customer}/purge"}}
CLOSE = {"close_customer": {"request": "DELETE /v1/customers/{customer}/close"}}
CREATE_KEY = {
    "create_key": {
        "request": "POST /v1/customers/{customer}/keys",
        "reply": {"key": "id", "credential": "key"},
    }
}
REVOKE_KEY = {"revoke_key": {"request": "DELETE /v1/customers/{customer}/keys/{key}"}}


class CutOff(BaseException):
    """The command was killed: nothing of it runs any more."""


class Shop(Service):
    """A service with a staging's controls: it lists and purges, or it can only close.

    `cut` is the number of the request at which whoever asks is killed, before it is sent or after
    it was answered. `status` is what every request is answered with, if anything.
    """

    def __init__(self, folder: Path, *, lists: bool = True) -> None:
        super().__init__()
        self.cut: tuple[int, Place] | None = None
        self.status: int | None = None
        self.requests = 0
        self.kinds: list[str] = []
        self.keys: dict[str, Reply] = {}
        more = {**(PURGE if lists else CLOSE), **CREATE_KEY, **REVOKE_KEY}
        told = profile(
            {**OPERATIONS, **more},
            catalog=CATALOG,
            target={"idempotency_header": KEY},
            staging={"customers": LIST if lists else None},
        ).model_copy(update={"settle_deadline_s": 0.01})
        self.session.target = ProfileTarget(told)
        self._file = folder / "staging.json"

    def footing(self) -> Footing:
        """Give what a new command stands on: nothing but the record outlives the one before."""
        self.session.customers.clear()
        way = Way(self._send)
        self.session._send = way.send
        return Footing(self.session.target, self.session, way, read_record(self._file), time=self)

    def standing(self) -> dict[str, tuple[Any, ...]]:
        """Give what there is of everybody who lives: two resets ought to come to the same."""
        living = [a for a in self.accounts if not a.get("gone") and not a.get("closed")]
        told = ("plan", "status", "standing", "units")
        names = [a["email"].partition("@")[0].partition("+")[0] for a in living]
        assert len(set(names)) == len(names), f"somebody is there twice: {names}"
        return {
            who: (
                *(a[name] for name in told),
                bool(a["cancel_at"]),
                [card["token"] for card in a["cards"]],
            )
            for who, a in zip(names, living, strict=True)
        }

    def _send(self, call: Call) -> Reply:
        self.requests += 1
        self.kinds.append(f"{call.method} {re.sub('[0-9]+', '', call.path)}")
        if self.cut == (self.requests, "before"):
            raise CutOff
        reply = answer(self.status, {}) if self.status else self._once(call)
        if self.cut == (self.requests, "after"):
            raise CutOff
        return reply

    def _once(self, call: Call) -> Reply:
        key = dict(call.headers).get(KEY)
        if key and (key in self.keys):
            return self.keys[key]
        reply = self._answered(call)
        if key:
            self.keys[key] = reply
        return reply

    def _answered(self, call: Call) -> Reply:
        if call.path == "/everybody":
            data = [
                {"id": a["id"], "email": a["email"]}
                for a in self.accounts
                if is_of_test(a["email"]) and not a.get("gone")
            ]
            return answer(200, {"data": data})
        if (call.method, call.path) == ("POST", "/v1/customers"):
            taken = {a["email"] for a in self.accounts if not a.get("gone")}
            if json.loads(call.body)["email"] in taken:
                return answer(409, {"code": "email_taken"})
        for word, mark in (("/purge", "gone"), ("/close", "closed")):
            if call.path.endswith(word):
                account = self.accounts[int(call.path.split("/")[-2]) - 1]
                assert is_of_test(account["email"])
                account[mark] = True
                return answer(200, {})
        if "/keys" in call.path:
            return answer(200, {"id": f"key{self.requests}", "key": "a-key"})
        return super()._send(call)
