from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.history import Exchange, Record
from harness.redact import Redactor
from harness.replay.commands import Commands
from harness.target.protocol import Outcome
from harness.target.wire import Call, Reply
from tests.core.making import CREATE, answer, profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.target.profile import Profile

RUN_ID = "0a1b2c3d"
OPERATOR = "op_live_key_of_the_operator"
USE = {"request": "POST /v1/usage", "body": {"id": "{usage_id}"}}
JSON = ("Content-Type", "application/json")


class Heard:
    """A small service that remembers what it was asked, and answers with an id and a key."""

    def __init__(self) -> None:
        heard: list[tuple[str, str | None, Any]] = []
        self.requests = heard

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.append((self.path, self.headers.get("X-API-Key"), json.loads(body)))
                made = json.dumps({"id": "cust_new", "api_key": "key_new"}).encode()
                self.send_response(201)
                self.send_header("Content-Length", str(len(made)))
                self.end_headers()
                self.wfile.write(made)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service() -> Iterator[Heard]:
    """Run it in a thread."""
    heard = Heard()
    thread = threading.Thread(target=heard.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield heard
    heard.server.shutdown()
    thread.join()
    heard.server.server_close()


def made_of(url: str) -> Profile:
    """Give a small target's profile."""
    return profile(
        {"create_customer": CREATE, "record_usage": USE},
        target={"name": "small", "base_url": url, "environment": "test"},
    )


def record(operation: str, call: Call, reply: Reply, **outputs: str) -> Record:
    """Give what a session leaves of one request."""
    return Record(
        id="main-1",
        test="t",
        operation=operation,
        role="customer",
        customer="cust_old",
        inputs={},
        began_at=1.0,
        outcome=Outcome("ok", outputs),
        exchanges=(Exchange(call, reply, 1.0, 2.0),),
    )


def story(uses: int = 4) -> list[Record]:
    """Give a customer who is made, then uses something, and an operator who adjusts."""
    email = {"email": f"it's-{RUN_ID}@x.example", "name": 'A "quoted" $HOME `name`'}
    create = Call("POST", "/v1/customers", headers=(JSON,), body=json.dumps(email).encode())
    made = {"id": "cust_old", "api_key": "key_old"}
    records = [
        record(
            "create_customer",
            create,
            answer(201, made),
            customer="cust_old",
            credential="key_old",
        )
    ]
    for number in range(uses):
        body = json.dumps({"customer": "cust_old", "id": f"usage-{RUN_ID}-{number + 7}"}).encode()
        headers = (JSON, ("X-API-Key", "key_old"))
        records.append(
            record("record_usage", Call("POST", "/v1/usage", (), headers, body), answer())
        )
    headers = (JSON, ("X-API-Key", OPERATOR))
    call = Call("POST", "/v1/adjust/cust_old", (("dry", "no"),), headers, b'{"units": -1}')
    return [*records, record("record_usage", call, answer(200, {"x": 1}))]


def written(url: str, records: list[Record]) -> Commands:
    """Write records as commands for a service at that address."""
    return Commands(records, made_of(url), Redactor(frozenset({OPERATOR, "key_old"})), RUN_ID)


def told_as_it_was(heard: Heard) -> None:
    """Hold what the service heard against the story: same requests, this run's ids and names."""
    (_, key, made), *uses, (path, operator, adjusted) = heard.requests
    run = made["email"].removeprefix("it's-").removesuffix("@x.example")
    assert run != RUN_ID
    assert made["name"] == 'A "quoted" $HOME `name`'
    assert key is None
    assert [body["id"] for *_, body in uses] == [f"usage-{run}-{n}" for n in range(7, 11)]
    assert {(k, body["customer"]) for _, k, body in uses} == {("key_new", "cust_new")}
    assert (path, operator) == ("/v1/adjust/cust_new?dry=no", "from-the-environment")
    assert adjusted == {"units": -1}


def test_the_python_program_does_the_same_again(service: Heard) -> None:
    """Run as it is written, it sends the same requests with new names and the new ids."""
    program = written(service.url, story()).python()
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={"SECRET": "from-the-environment"}
    )
    told_as_it_was(service)


@pytest.mark.program("curl")
@pytest.mark.program("jq")
def test_the_curl_lines_do_the_same_again(service: Heard) -> None:
    """Pasted into a shell, they send the same requests, quotes and dollars and all."""
    lines = written(service.url, story()).curl()
    env = {"SECRET": "from-the-environment", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    subprocess.run(["bash", "-euc", lines], check=True, env=env)
    told_as_it_was(service)


def test_requests_that_differ_by_a_number_are_one_line() -> None:
    """Four usages in a row are a loop; what is counted is requests."""
    commands = written("http://target.test", story())
    assert (len(commands), commands.lines) == (6, 3)
    assert "for n in $(seq 7 10); do curl" in commands.curl()
    assert "for n in range(7, 11):" in commands.python()
    few = written("http://target.test", story(uses=2))
    assert (len(few), few.lines) == (4, 4)


def test_no_secret_is_written() -> None:
    """Keys come from answers or from the environment, in both kinds."""
    commands = written("http://target.test", story())
    for text in (commands.curl(), commands.python()):
        assert OPERATOR not in text
        assert "key_old" not in text
        assert "SECRET" in text


def test_an_operators_secret_is_never_taken_for_the_customers() -> None:
    """Of a history that hides both alike, the operator's key is asked for, and the answer's is."""
    hidden = (("X-API-Key", "[secret]"),)
    made = {"id": "cust_old", "api_key": "[secret]"}
    first = record(
        "create_customer",
        Call("POST", "/v1/customers", (), hidden),
        answer(201, made),
        customer="cust_old",
        credential="[secret]",
    )
    then = record("record_usage", Call("POST", "/v1/usage", (), hidden), answer())
    made_by = {"create_customer": CREATE | {"as": "operator"}, "record_usage": USE}
    headers = {"operator": "${OPS}", "customer": "{credential}"}
    auth = {role: {"headers": {"X-API-Key": key}} for role, key in headers.items()}
    lines = Commands([first, then], profile(made_by, auth=auth), Redactor(), RUN_ID).curl()
    keys = re.findall(r"X-API-Key: '\"\$\{(\w+)\}", lines)
    assert keys == ["SECRET", "credential"]
    assert "# SECRET is yours to export" in lines


def test_each_customer_of_a_file_has_a_secret_of_their_own() -> None:
    """A history read from its file hides every secret alike; who used which is still told."""
    made, used = [], []
    for who in ("cust_one", "cust_two"):
        reply = answer(201, {"id": who, "api_key": "[secret]"})
        about = {"customer": who, "credential": "[secret]"}
        made.append(record("create_customer", Call("POST", "/v1/customers"), reply, **about))
        body = json.dumps({"customer": who, "id": f"usage-of-{who}"}).encode()
        call = Call("POST", "/v1/usage", (), (JSON, ("X-API-Key", "[secret]")), body)
        used.append(replace(record("record_usage", call, answer()), customer=who))
    program = written("http://x", [*made, *used]).curl()
    first, second = re.findall(r"X-API-Key: '\"\$\{(\w+)\}\"", program)
    assert first != second
    assert re.findall(r"^(\w+)=\$\(jq -r \.api_key", program, re.MULTILINE) == [first, second]
    assert "SECRET" not in program
    keyless = answer(201, {"id": "cust_one"})
    before = record("create_customer", Call("POST", "/v1/customers"), keyless, customer="cust_one")
    elsewhere = written("http://x", [before, used[0]]).curl()
    assert re.findall(r"X-API-Key: '\"\$\{(\w+)\}\"", elsewhere) == ["SECRET"]
