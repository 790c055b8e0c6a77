"""Every command is of one kind, and those that write refuse production by every single sign.

A new command makes `test_every_command_is_of_a_known_kind` fail until it stands in `COMMANDS`: ask
there what it writes to, and give one that writes a call in `CALLS`.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from typer.testing import CliRunner

from harness.cli import build_app
from harness.errors import ProductionRefused
from harness.ground import Ground, Plan
from harness.guard import HOSTS_VARIABLE
from harness.session import Customer
from simulators.billing import __main__ as billing
from simulators.stripe import __main__ as stripe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIVE = "k_live_made_up"  # with a letter before it, a live key: s or r
COMMANDS = {
    "writes to a target": (
        "run",
        "replay",
        "doctor",  # but for --read-only
        "gauntlet",
        "staging reset",
        "staging seed",
        "staging keys create",
        "staging keys revoke",
        "dashboards push",  # to a Grafana
        "dashboards validate",
        "load signup",
        "load webhooks",
        "load rate-limit",
        "load onboarding",
        "load credential-vending",
        "load usage",
        "load renewal-storm",
        "load soak",
        "load breakpoint",
        "load all",
        "webhooks send",
        "webhooks send-all",
        "webhooks replay",
        "webhooks storm",
    ),
    "writes to what it starts itself": ("up", "ci local", "dashboards prove"),
    "does what its master has it do, which is guarded": ("load worker",),
    "reads a target": ("audit", "staging status"),
    "touches no target": (
        "profile",  # reads a document, from wherever
        "ci merge",
        "ci gate",
        "ci summary",
        "ci annotate",
        "ci metrics push",  # to a Pushgateway
        "ci metrics write",
        "dashboards build",
        "dashboards check",  # reads metrics, where it is told to
        "load report",
        "load baseline save",
        "load baseline compare",
        "webhooks listen",
        "webhooks events",
    ),
}
PROGRAMS = {
    # Its own service; `reset-staging` is guarded (tests/billing/test_reset_staging.py), and so are
    # `serve` with test controls or a defect (tests/billing/test_process.py).
    "billing": {"serve", "migrate", "reconcile", "defects", "reset-staging"},
    # A simulator's world is its own.
    "stripe": {"serve", "faults"},
}
PROFILE = """
[target]
name = "odd"
base_url = "{url}"
environment = "test"
headers = {{ "X-Odd" = "plain" }}
[operations.create_customer]
as = "anonymous"
request = "POST /customers"
body = {{ email = "{{email}}" }}
reply = {{ customer = "id", credential = "key" }}
[operations.get_balance]
request = "GET /customers/{{customer}}"
reply = {{ units = "units" }}
[catalog]
currency = "usd"
[webhooks]
path = "/hooks"
secret_env = "ODD_SECRET"
[evidence]
database_url_env = "ODD_DATABASE"
metrics = {{ url = "{url}/metrics" }}
"""


@dataclass
class Target:
    """A target that writes down what it is asked, and says where it is if it was told to."""

    folder: Path
    url: str = ""
    word: str = "test"
    requests: list[str] = field(default_factory=list)

    @property
    def profile(self) -> Path:
        return self.folder / "odd.toml"

    def change(self, before: str, after: str) -> None:
        text = self.profile.read_text("utf-8")
        assert before in text
        self.profile.write_text(text.replace(before, after), "utf-8")


@contextmanager
def serving(folder: Path) -> Iterator[Target]:
    """Serve a target."""
    target = Target(folder)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            target.requests.append(f"{self.command} {self.path}")
            body = json.dumps({"environment": target.word}).encode()
            self.send_response(200 if self.path == "/health" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None:
            """Say nothing: a test reads `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    target.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield target
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Give a target whose profile is right, in an environment that says nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ODD_SECRET", "whsec_of_the_test")
    monkeypatch.setenv("ODD_DATABASE", f"sqlite:///{tmp_path / 'odd.db'}")
    monkeypatch.setenv("GRAFANA_TOKEN", "token-of-the-test")
    event = {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}
    (tmp_path / "event.json").write_text(json.dumps(event), "utf-8")
    story = {"format": 1, "target": "odd", "check": "x", "message": "x", "steps": []}
    (tmp_path / "story.json").write_text(json.dumps(story), "utf-8")
    with serving(tmp_path) as found:
        found.profile.write_text(PROFILE.format(url=found.url), "utf-8")
        yield found


def _variable(_: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "eu-production")


def _key(_: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEBODYS_KEY", f"s{LIVE}")


def _restricted_key(_: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEBODYS_KEY", f"r{LIVE}")


def _host(_: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, "127.0.0.*")


def _own_word(target: Target, _: pytest.MonkeyPatch) -> None:
    target.word = "production"


def _profile(target: Target, _: pytest.MonkeyPatch) -> None:
    target.change('environment = "test"', 'environment = "prod"')


def _key_in_profile(target: Target, _: pytest.MonkeyPatch) -> None:
    target.change('"plain"', f'"r{LIVE}"')


def _host_in_profile(target: Target, _: pytest.MonkeyPatch) -> None:
    target.change('name = "odd"', 'name = "odd"\nproduction_hosts = ["127.*"]')


def _marker(target: Target, _: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(target.folder / "odd.db")) as connection:
        connection.execute("CREATE TABLE deployment AS SELECT 'production' AS environment")
        connection.commit()


def _database(_: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_DATABASE", "postgresql://me@127.0.0.1:1/billing_production")


ANYWHERE = {"variable": _variable, "live key": _key, "restricted live key": _restricted_key}
BY_ADDRESS = {**ANYWHERE, "host": _host}
BY_PROFILE = {
    **BY_ADDRESS,
    "own word": _own_word,
    "profile": _profile,
    "key in the profile": _key_in_profile,
    "host in the profile": _host_in_profile,
    "database's marker": _marker,
    "database's name": _database,
}
# Where more has to be known than is before its many runs begin, each of them asks.
BEFORE_MANY = {k: v for k, v in BY_PROFILE.items() if k not in {"own word", "database's marker"}}
LOADS = [name.split()[1] for name in COMMANDS["writes to a target"] if name.startswith("load ")]
TO = ("--target", "odd.toml")
CALLS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "run": (("run", *TO), BY_PROFILE),
    "replay": (("replay", "story.json", *TO), BY_PROFILE),
    "doctor": (("doctor", *TO), BY_PROFILE),
    "gauntlet": (
        ("gauntlet", *TO, "--target-command", "false {defect}", "--defect", "some"),
        {name: sign for name, sign in BEFORE_MANY.items() if not name.startswith("database")},
    ),
    "staging reset": (("staging", "reset", *TO), BY_PROFILE),
    "staging seed": (("staging", "seed", *TO), BY_PROFILE),
    "staging keys create": (("staging", "keys", "create", *TO), BY_PROFILE),
    "staging keys revoke": (("staging", "keys", "revoke", *TO), BY_PROFILE),
    "dashboards push": (("dashboards", "push", "--grafana", "{url}"), BY_ADDRESS),
    "dashboards validate": (("dashboards", "validate", *TO), BY_PROFILE),
    **{f"load {name}": (("load", name, *TO, "--duration", "1"), BY_PROFILE) for name in LOADS},
    "webhooks send": (("webhooks", "send", "invoice.paid", *TO), BY_PROFILE),
    "webhooks send-all": (("webhooks", "send-all", *TO), BY_PROFILE),
    "webhooks replay": (("webhooks", "replay", "event.json", *TO), BY_PROFILE),
    "webhooks storm": (("webhooks", "storm", *TO, "--duration", "1"), BY_PROFILE),
    "webhooks send --to": (
        ("webhooks", "send", "invoice.paid", "--to", "{url}/hooks"),
        {**BY_ADDRESS, "own word": _own_word},
    ),
    "up": (("up",), ANYWHERE),
    "up --database": (
        ("up", "--database", "postgresql://me@127.0.0.1:1/billing_production"),
        {"database's name": lambda *_: None},
    ),
    "ci local": (("ci", "local"), ANYWHERE),
    "dashboards prove": (("dashboards", "prove"), ANYWHERE),
}
# One of each kind of code is tried with every sign every day, all of them at night.
DAILY = {"run", "doctor", "staging reset", "webhooks send", "webhooks send --to", "gauntlet", "up"}
DAILY |= {"up --database", "ci local", "load usage", "dashboards push"}


def walked() -> set[str]:
    """Name every command that there is."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        for name, sub in command.commands.items():
            if hasattr(sub, "commands"):
                yield from walk(sub, (*path, name))
            else:
                yield " ".join((*path, name))

    return set(walk(typer.main.get_command(build_app()), ()))


def test_every_command_is_of_a_known_kind() -> None:
    """Whoever adds a command says what it writes to; one that is gone is struck out."""
    told = [name for names in COMMANDS.values() for name in names]
    assert len(told) == len(set(told))
    assert walked() == set(told)


def test_every_command_that_writes_is_tried() -> None:
    """Each has a call below, by which it is shown to refuse."""
    kinds = ("writes to a target", "writes to what it starts itself")
    assert {name for kind in kinds for name in COMMANDS[kind]} <= set(CALLS)


@pytest.mark.parametrize(
    ("name", "parser"), [("billing", billing._parser()), ("stripe", stripe.build_parser())]
)
def test_every_command_of_a_simulator_is_known(name: str, parser: argparse.ArgumentParser) -> None:
    """The simulators' own programs are walked, too."""
    (verbs,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    assert set(verbs.choices) == PROGRAMS[name]


@pytest.mark.parametrize(
    "name",
    [name if name in DAILY else pytest.param(name, marks=pytest.mark.nightly) for name in CALLS],
)
def test_each_single_sign_of_production_refuses(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With any one sign: status 2, its code, which sign it is, and nothing sent that writes."""
    call, signs = CALLS[name]
    arguments = [part.replace("{url}", target.url) for part in call]
    profile = target.profile.read_text("utf-8")
    for sign, show in signs.items():
        with monkeypatch.context() as patched:
            show(target, patched)
            ended = CliRunner().invoke(build_app(), arguments)
        said = ended.stdout + ended.stderr
        assert ended.exit_code == 2, (sign, said, ended.exception)
        assert "production_environment" in said, (sign, said)
        assert LIVE not in said
        assert {each.split()[0] for each in target.requests} <= {"GET"}, (sign, target.requests)
        if sign not in {"own word", "database's marker"}:
            assert target.requests == [], sign
        target.requests.clear()
        target.word = "test"
        target.profile.write_text(profile, "utf-8")
        (target.folder / "odd.db").unlink(missing_ok=True)


def test_what_only_reads_is_allowed_on_production(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status and doctor --read-only read whatever signs there are; nothing but GET is sent."""
    for sign in BY_PROFILE.values():
        sign(target, monkeypatch)
    for arguments in (
        ["staging", "status", *TO],
        ["doctor", *TO, "--read-only", "--customer", "cus_1"],
    ):
        ended = CliRunner().invoke(build_app(), arguments)
        assert "production_environment" not in ended.stdout + ended.stderr
    assert target.requests
    assert {each.split()[0] for each in target.requests} == {"GET"}


def test_a_run_on_production_that_was_named_sends_nothing_that_writes(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is marked as safe runs; the ground itself lets nothing out but reading."""
    for sign in BY_PROFILE.values():
        sign(target, monkeypatch)
    plan = Plan("odd.toml", 1, "run", folder="", only_reads=True)
    with closing(Ground(plan)) as ground:
        session = ground.session("it")
        with pytest.raises(ProductionRefused, match="was not sent"):
            session.perform("create_customer", email="a@test.example.com")
        customer = Customer("1", None, None)
        assert session.perform("get_balance", customer=customer).kind != "ok"
    assert [each.split()[0] for each in target.requests] == ["GET"]
