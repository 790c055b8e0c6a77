from __future__ import annotations

import itertools
import json
import threading
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.ground import Ground, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("schemathesis")

from suites.contract.fuzzing import Found, tried

KEY = "key-of-a-customer"
PROFILE = """
[target]
name = "drifting"
base_url = "{url}"
environment = "test"
refusal_code = "code"

[auth.customer]
headers = {{ "X-API-Key" = "{{credential}}" }}

[operations.create_customer]
as = "anonymous"
request = "POST /customers"
body = {{ email = "{{email}}" }}
reply = {{ customer = "id", credential = "key" }}

[operations.get_customer]
request = "GET /customers/{{customer}}"

[catalog]
currency = "usd"

[contract]
openapi = "/openapi.json"
malformed = "code == 'malformed'"
examples = 3
"""


def _answers(kind: str) -> dict[str, Any]:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": kind}}}
    return {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}


def _about_a_customer() -> dict[str, Any]:
    place = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    security: list[dict[str, list[str]]] = [{"key": []}]
    other = {"404": {"description": "none"}, "401": {"description": "who?"}}
    answers = {**_answers("string"), **other}
    return {"parameters": [place], "security": security, "responses": answers}


def _signing_up() -> dict[str, Any]:
    email = {"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}}}
    body = {"required": True, "content": {"application/json": {"schema": email}}}
    answers = {**_answers("string"), "422": {"description": "wrong"}}
    return {"requestBody": body, "responses": answers}


DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Drifting", "version": "1"},
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
    },
    "paths": {
        "/customers": {"post": _signing_up()},
        "/customers/{id}": {"get": _about_a_customer()},
        "/drifted": {"get": {"responses": _answers("integer")}},
        "/limited": {"get": {"responses": {**_answers("string"), "429": {"description": "no"}}}},
        "/gone": {"get": {"responses": {**_answers("string"), "404": {"description": "no"}}}},
        "/picky": {"get": {"responses": {**_answers("string"), "422": {"description": "no"}}}},
        "/mute": {"get": {"responses": _answers("string")}},
    },
}
STATUSES = {"/limited": 429, "/gone": 404, "/picky": 422}


class _Drifting(BaseHTTPRequestHandler):
    numbers = itertools.count(1)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/mute":
            return  # the connection is closed without an answer
        owns = self.path.startswith("/customers/")
        is_known = self.headers.get("X-API-Key") == KEY
        status = 401 if owns and not is_known else STATUSES.get(self.path.partition("?")[0], 200)
        self._answer(status, {"id": f"echo of {self.headers.get('X-API-Key')}"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            is_right = isinstance(json.loads(body)["email"], str)
        except (ValueError, KeyError, TypeError):
            is_right = False
        made = {"id": f"cust_{next(self.numbers)}", "key": KEY}
        self._answer(200 if is_right else 422, made if is_right else {"code": "wrong"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        told = json.dumps({**body, "code": "malformed" if status == 422 else "no"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _drifting() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Drifting)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Found, Ground]]:
    """Try a service that drifts from its document in every way."""
    folder: Path = tmp_path_factory.mktemp("drifting")
    with _drifting() as url:
        file = folder / "drifting.toml"
        file.write_text(PROFILE.format(url=url), encoding="utf-8")
        ground = Ground(Plan(str(file), seed=1, run_id="drift", folder=""))
        yield tried(DOCUMENT, ["coverage"], ground, ground.session("drifting")), ground
        ground.close()


def test_an_answer_of_another_type_is_a_breach_with_the_way_there(
    run: tuple[Found, Ground],
) -> None:
    """What was sent, what came back, which check, and a curl line that shows it again."""
    drifted = "GET /drifted answered HTTP 200, which breaks response_schema_conformance"
    (told,) = [f.message for f in run[0].breaches if f.message.startswith(drifted)]
    assert "; again: curl -X GET" in told


def test_a_request_of_the_documented_shape_that_is_refused_for_its_shape_is_a_breach(
    run: tuple[Found, Ground],
) -> None:
    """The profile says how a wrong shape is told: told of a right one, it is drift."""
    found = [f.message for f in run[0].breaches if f.message.startswith("GET /picky")]
    assert any("breaks documented_shape_accepted" in message for message in found)


def test_what_never_succeeded_was_limited_or_gave_no_answer_is_in_doubt(
    run: tuple[Found, Ground],
) -> None:
    """Each is named: nothing is known of what they promise."""
    doubts = "; ".join(run[0].doubts)
    assert "GET /gone never succeeded (it answered 404)" in doubts
    assert "GET /limited answered" in doubts
    assert "with 429" in doubts
    assert "requests had no answer, the first: GET /mute: reset" in doubts
    assert "GET /customers/{id} never" not in doubts


def test_no_secret_is_told_and_what_was_made_is_known(run: tuple[Found, Ground]) -> None:
    """Keys that answers brought are in no sentence, and those customers are in the history."""
    found, ground = run
    assert KEY not in "".join(f.message for f in found.breaches) + "".join(found.doubts)
    made = [r for r in ground.history.records if r.operation == "create_customer"]
    assert len(made) > 1
    assert {"ok", "refused"} == {record.outcome.kind for record in made}


@pytest.mark.parametrize(
    "broken",
    [
        {"get": {"$ref": "#/nowhere"}},
        {"get": {"parameters": [{"$ref": "#/components/parameters/none"}], "responses": {}}},
        {"get": {"parameters": [{"name": "x", "in": "query", "schema": {"type": "no"}}]}},
        {"get": "nothing that a document says of an operation"},
    ],
    ids=["nowhere", "a-parameter-nowhere", "a-type-that-is-none", "no-table"],
)
def test_a_document_that_cannot_be_tried_leaves_doubts_and_breaks_nothing(
    tmp_path: Path, broken: dict[str, Any]
) -> None:
    """What refers to nothing, or is of no known shape, is in doubt; nobody is told a breach."""
    file = tmp_path / "drifting.toml"
    file.write_text(PROFILE.format(url="http://127.0.0.1:9"), encoding="utf-8")
    ground = Ground(Plan(str(file), seed=1, run_id="drift", folder=""))
    document = {"openapi": "3.1.0", "info": DOCUMENT["info"], "paths": {"/things": broken}}
    with closing(ground), suppress(Unknown):  # which says the same
        found = tried(document, ["coverage"], ground, ground.session("drifting"))
        assert found.doubts
        assert not found.breaches
