"""A Grafana's HTTP API, as far as dashboards are brought there and looked at.

Written by Grafana 11.6's documentation (Dashboard, Folder and Data source HTTP API) and tried on a
server that follows it; never on a real Grafana. No answer is trusted to be what it should be.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness.errors import GrafanaError
from harness.target.wire import Call, NoReply
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from harness.target.wire import Reply

URL, TOKEN = "GRAFANA_URL", "GRAFANA_TOKEN"
TIMEOUT_S = 15.0
OLDEST = 11
_REFUSED_FROM, _FAILED_FROM = 400, 500
_MISSING, _UNAUTHORISED, _FORBIDDEN, _CHANGED = 404, 401, 403, 412
_TOLD_MAX = 200


class MaybeDone(GrafanaError):
    """Grafana was asked to write, and did not say whether it did."""


class Grafana:
    """One Grafana, spoken to with a service account's token; every exchange is bounded."""

    def __init__(self, url: str, token: str, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._transport = Transport(self.url, timeout_s)
        self._headers = (
            ("Authorization", f"Bearer {token}"),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
        )

    def __enter__(self) -> Self:
        """Give the Grafana itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self._transport.close()

    def version(self) -> str:
        """Give its version. Raises `GrafanaError` where it is none, is ill, or is too old."""
        told = self._ask("GET", "/api/health")
        found = told.get("version") if isinstance(told, dict) else None
        if not isinstance(found, str) or not found.partition(".")[0].isdigit():
            raise GrafanaError(f"what answers at {self.url} is no Grafana", hint=_WHERE)
        if told.get("database") != "ok":
            raise GrafanaError(f"{self.url} says that its database is {told.get('database')}")
        if int(found.partition(".")[0]) < OLDEST:
            raise GrafanaError(
                f"{self.url} is Grafana {found}; these dashboards are of Grafana {OLDEST}",
                hint="Nothing was sent. Take a newer Grafana: an older one drops what it ignores.",
            )
        return found

    def check_datasource(self, uid: str) -> None:
        """Raise `GrafanaError` unless there is a Prometheus data source of this uid."""
        found = self._read(f"/api/datasources/uid/{quote(uid, safe='')}")
        if found is not None and found.get("type") == "prometheus":
            return
        known = self._ask("GET", "/api/datasources")
        uids = [
            str(each.get("uid"))
            for each in (known if isinstance(known, list) else [])
            if isinstance(each, dict) and each.get("type") == "prometheus"
        ]
        what = "is no Prometheus" if found else "is not there"
        hint = f"Give one that is: --datasource {' or '.join(uids)}" if uids else "It has none."
        raise GrafanaError(f"{self.url}: the data source {uid!r} {what}", hint=hint)

    def folder(self, uid: str) -> Mapping[str, Any] | None:
        """Give a folder, or None where there is none."""
        return self._read(f"/api/folders/{quote(uid, safe='')}")

    def make_folder(self, uid: str, title: str) -> None:
        """Make a folder at the root."""
        self._ask("POST", "/api/folders", {"uid": uid, "title": title})

    def drop_folder(self, uid: str) -> None:
        """Delete a folder that is empty. Raises `GrafanaError` where somebody put something in."""
        name = quote(uid, safe="")
        if self._ask("GET", f"/api/search?folderUIDs={name}") != []:
            raise GrafanaError(f"the folder {uid} is not empty")
        self._ask("DELETE", f"/api/folders/{name}", gone_is_fine=True)

    def dashboard(self, uid: str) -> Mapping[str, Any] | None:
        """Give `dashboard` and `meta` of a dashboard, or None where there is none."""
        found = self._read(f"/api/dashboards/uid/{quote(uid, safe='')}")
        if found is not None and not isinstance(found.get("dashboard"), dict):
            raise GrafanaError(f"{self.url} gives a dashboard {uid} that is none")
        return found

    def save(
        self, dashboard: Mapping[str, Any], folder: str, message: str, *, overwrite: bool = False
    ) -> None:
        """Save a dashboard under its uid. Raises `MaybeDone` where that is not known to have been.

        Without `overwrite` it is refused where its version is not the one that is there.
        """
        asked = {"dashboard": dict(dashboard), "folderUid": folder, "message": message}
        self._ask("POST", "/api/dashboards/db", {**asked, "overwrite": overwrite})

    def drop_dashboard(self, uid: str) -> None:
        """Delete a dashboard."""
        self._ask("DELETE", f"/api/dashboards/uid/{quote(uid, safe='')}", gone_is_fine=True)

    def query(self, queries: Sequence[Mapping[str, Any]], since: str) -> Mapping[str, Any]:
        """Run queries through their data source; give what came back of each by its `refId`."""
        body = {"queries": list(queries), "from": since, "to": "now"}
        reply = self._send("POST", "/api/ds/query", body)
        told = _json(reply)
        results = told.get("results") if isinstance(told, dict) else None
        # With 400 it says of each query what is wrong.
        if isinstance(results, dict) and results:
            return results
        self._check(reply, "POST /api/ds/query")
        raise GrafanaError(f"{self.url} gives no results of a query")

    def _read(self, path: str) -> Mapping[str, Any] | None:
        reply = self._send("GET", path)
        if reply.status == _MISSING:
            return None
        self._check(reply, f"GET {path}")
        found = _json(reply)
        if not isinstance(found, dict):
            raise GrafanaError(f"{self.url} answers GET {path} with something else", hint=_WHERE)
        return found

    def _ask(self, method: str, path: str, body: Any = None, *, gone_is_fine: bool = False) -> Any:
        reply = self._send(method, path, body)
        if not (gone_is_fine and reply.status == _MISSING):
            self._check(reply, f"{method} {path}")
        return _json(reply)

    def _send(self, method: str, path: str, body: Any = None) -> Reply:
        raw = b"" if body is None else json.dumps(body).encode()
        reply = self._transport.send(Call(method, path, headers=self._headers, body=raw))
        if not isinstance(reply, NoReply):
            return reply
        wrote = reply.sent and method != "GET" and not path.startswith("/api/ds/")
        kind = MaybeDone if wrote else GrafanaError
        raise kind(f"{self.url}: no answer to {method} {path} ({reply.reason})", hint=_WHERE)

    def _check(self, reply: Reply, asked: str) -> None:
        """Raise what a status means, with Grafana's own message."""
        if reply.status < 300:  # noqa: PLR2004 - all of HTTP's successes
            return
        told = _json(reply)
        said = str(told.get("message", "")) if isinstance(told, dict) else ""
        what = f"{self.url}: {asked} was answered {reply.status} {said[:_TOLD_MAX]}".rstrip()
        if reply.status >= _FAILED_FROM and not asked.startswith("GET"):
            raise MaybeDone(what, hint="Look at Grafana's own log.")
        raise GrafanaError(what, hint=_hint(reply.status))


_WHERE = "Give Grafana's own address, with its path where it has one: --grafana URL"


def _hint(status: int) -> str:
    if status < _REFUSED_FROM:
        return _WHERE + " (this one sends elsewhere, to its login or to https)"
    return {
        _UNAUTHORISED: f"Is {TOKEN} a service account's token of this Grafana, and not expired?",
        _FORBIDDEN: "The token's service account needs the role Editor, and to query data sources.",
        _MISSING: _WHERE,
        _CHANGED: "Somebody changed it just now: look at the difference again, by --dry-run.",
    }.get(status, "Look at Grafana's own log.")


def _json(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError:
        return None


def from_environment(given: str | None, connect: Callable[[str, str], Grafana]) -> Grafana:
    """Give the Grafana at the address given or of GRAFANA_URL, with GRAFANA_TOKEN."""
    url, token = given or os.environ.get(URL), os.environ.get(TOKEN)
    if not url:
        raise GrafanaError("no Grafana was named", hint=f"Say --grafana URL, or set {URL}.")
    if not url.startswith(("http://", "https://")):
        raise GrafanaError(f"{url} is no address", hint=_WHERE)
    if not token or not token.isascii() or not token.isprintable():
        raise GrafanaError(
            f"{TOKEN} is not set, or is no token",
            hint=f"Put a service account's token into {TOKEN}; it is never given on the line.",
        )
    return connect(url, token)
