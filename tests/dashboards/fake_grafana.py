"""A small server that keeps to Grafana 11.6's documented HTTP API, as far as `push` uses it.

It is no Grafana: what it does is what the Dashboard, Folder and Data source pages of that API say,
with their statuses and messages. Faults are planted by method and path.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "glsa_tests"
Answer = tuple[int, Any]


@dataclass
class FakeGrafana:
    """Its state, and what it was asked; `faults` answer in place of it, or raise to hang up."""

    url: str = ""
    version: str = "11.6.0"
    datasources: dict[str, str] = field(default_factory=lambda: {"prometheus": "prometheus"})
    folders: dict[str, str] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    provisioned: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    faults: dict[str, Callable[[], Answer | None]] = field(default_factory=dict)
    value: Callable[[str], float | None] = lambda _: 1.0
    keep: Callable[[dict[str, Any]], dict[str, Any]] = lambda data: data

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """Answer a request."""
        route, _, query = path.partition("?")
        routes: dict[str, Callable[[str], Answer]] = {
            "/api/search": lambda _: (200, self._inside(query.partition("=")[2])),
            "/api/ds/query": lambda _: self._query(body),
            "/api/datasources": lambda _: (200, self._sources()),
            "/api/datasources/uid/(.+)": lambda uid: self._one(
                self.datasources, uid, "Data source not found", "type"
            ),
            "/api/folders": lambda _: self._make_folder(body),
            "/api/folders/(.+)": lambda uid: self._folder(method, uid),
            "/api/dashboards/db": lambda _: self._save(body),
            "/api/dashboards/uid/(.+)": lambda uid: self._dashboard(method, uid),
        }
        for pattern, act in routes.items():
            if found := re.fullmatch(pattern, route):
                return act(found[found.re.groups])
        return 404, {"message": "Not found"}

    def _inside(self, folder: str) -> list[dict[str, str]]:
        return [{"uid": uid} for uid, home in self.homes.items() if home == folder]

    def _sources(self) -> list[dict[str, str]]:
        return [{"uid": uid, "type": kind} for uid, kind in self.datasources.items()]

    def _one(self, kept: dict[str, str], uid: str, message: str, key: str) -> Answer:
        if uid not in kept:
            return 404, {"message": message}
        return 200, {"uid": uid, key: kept[uid]}

    def _make_folder(self, body: Any) -> Answer:
        if body["uid"] in self.folders:
            return 409, {"message": "a folder with the same uid already exists"}
        self.folders[body["uid"]] = body["title"]
        return 200, {"uid": body["uid"], "title": body["title"], "version": 1}

    def _folder(self, method: str, uid: str) -> Answer:
        if method == "DELETE" and uid in self.folders:
            del self.folders[uid]
            for inside in [each for each, home in self.homes.items() if home == uid]:
                self.homes.pop(inside)
                self.dashboards.pop(inside)
            return 200, {"message": "Folder deleted"}
        return self._one(self.folders, uid, "folder not found", "title")

    def _save(self, body: Any) -> Answer:
        new, home = body["dashboard"], body.get("folderUid", "")
        old = self.dashboards.get(new["uid"])
        if home and home not in self.folders:
            return 400, {"message": "folder not found"}
        if new["uid"] in self.provisioned:
            return 400, {"message": "Cannot save provisioned dashboard"}
        if old and not body["overwrite"] and new.get("version") != old["version"]:
            told = {"status": "version-mismatch"}
            return 412, {"message": "The dashboard has been changed by someone else", **told}
        kept = {**copy.deepcopy(self.keep(new)), "id": old["id"] if old else len(self.homes) + 1}
        kept["version"] = old["version"] + 1 if old else 1
        self.dashboards[new["uid"]], self.homes[new["uid"]] = kept, home
        return 200, {"uid": new["uid"], "status": "success", "version": kept["version"]}

    def _dashboard(self, method: str, uid: str) -> Answer:
        if uid not in self.dashboards:
            return 404, {"message": "Dashboard not found"}
        if method == "DELETE":
            self.dashboards.pop(uid)
            self.homes.pop(uid)
            return 200, {"message": "Dashboard deleted"}
        meta = {"folderUid": self.homes[uid], "provisioned": uid in self.provisioned}
        return 200, {"dashboard": self.dashboards[uid], "meta": meta}

    def _query(self, body: Any) -> Answer:
        results: dict[str, Any] = {}
        for query in body["queries"]:
            if query["datasource"]["uid"] not in self.datasources:
                return 404, {"message": "Data source not found"}
            try:
                value = self.value(query["expr"])
            except ValueError as error:
                results[query["refId"]] = {"error": str(error), "status": 400}
                continue
            now = int(time.time() * 1000)
            fields = [{"name": "Time", "type": "time"}, {"name": "Value", "type": "number"}]
            data = {"values": [[now], [value]]} if value is not None else {"values": []}
            frame = {"schema": {"refId": query["refId"], "fields": fields}, "data": data}
            results[query["refId"]] = {"status": 200, "frames": [frame]}
        has_failed = any("error" in result for result in results.values())
        return 400 if has_failed else 200, {"results": results}


@contextmanager
def fake_grafana() -> Iterator[FakeGrafana]:
    """Run one on loopback."""
    fake = FakeGrafana()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = f"{self.command} {self.path.partition('?')[0]}"
            fake.asked.append(asked)
            planted = fake.faults[asked]() if asked in fake.faults else None
            if planted is not None and 300 <= planted[0] < 500:
                self._reply(*planted)  # a refusal: nothing of it was done
                return
            answer: Answer
            if asked == "GET /api/health":
                answer = 200, {"database": "ok", "version": fake.version, "commit": "abc"}
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                answer = 401, {"message": "Invalid API key"}
            else:
                answer = fake.answer(self.command, self.path, json.loads(raw or b"null"))
            answer = planted or answer
            self._reply(*answer)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names that the library asks for

        def _reply(self, status: int, data: Any) -> None:
            if status == 0:  # hang up without an answer
                self.close_connection = True
                return
            body = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield fake
        server.shutdown()
        thread.join(10)
