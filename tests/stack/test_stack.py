from __future__ import annotations

import json
import os
import signal
import stat
import urllib.parse
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.errors import StackError
from harness.stack import Stack, StackOptions
from harness.stack.ports import reserve
from harness.stack.webhook import make_endpoint
from tests.stack.processes import STANDIN_PROGRAM, driver, eventually, linux_only, marked

pytestmark = [linux_only, pytest.mark.usefixtures("marker")]


def options(**changes: Any) -> StackOptions:
    """Return options for a stack of stand-ins."""
    return StackOptions(stripe_program=STANDIN_PROGRAM, billing_program=STANDIN_PROGRAM, **changes)


def get(url: str) -> Any:
    """Return the JSON that an address answers."""
    return httpx.get(url, timeout=20, trust_env=False).json()


def test_the_service_gets_its_settings_by_environment_alone(
    marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service knows keys and addresses, none of it on a command line or of the user's own."""
    monkeypatch.setenv("BILLING_STRIPE_API_KEY", "sk_test_of_the_user")
    monkeypatch.setenv("BILLING_PRICE", "1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with Stack(options(billing_env={"BILLING_EXTRA": "yes"})) as stack:
        addresses = stack.addresses
        env = get(f"{addresses.billing_url}/environment")
        assert {name: value for name, value in env.items() if name.startswith("BILLING_")} == {
            "BILLING_ENVIRONMENT": "test",
            "BILLING_EXTRA": "yes",
            "BILLING_FAILPOINT_FOLDER": addresses.folder,
            "BILLING_SMTP_HOST": "127.0.0.1",
            "BILLING_SMTP_PORT": env["BILLING_SMTP_PORT"],
            "BILLING_SMTP_SECURITY": "none",
            "BILLING_MAIL_POLL_S": "0.2",
            "BILLING_DATABASE_URL": addresses.database_url,
            "BILLING_STRIPE_API_BASE": addresses.stripe_url,
            "BILLING_STRIPE_API_KEY": addresses.stripe_api_key,
            "BILLING_STRIPE_WEBHOOK_SECRETS": (
                f"whsec_standin,{addresses.previous_webhook_secret}"
            ),
            "BILLING_LIMIT_UNVERIFIED_WEBHOOKS": "300",
            "BILLING_OPERATOR_KEY": addresses.operator_key,
            "BILLING_KEY_HMAC_SECRET": env["BILLING_KEY_HMAC_SECRET"],
            "BILLING_TEST_CONTROL_TOKEN": addresses.test_control_token,
            "BILLING_METRICS_TOKEN": addresses.metrics_token,
        }
        assert "https_proxy" not in env
        secrets = [addresses.stripe_api_key, addresses.operator_key, addresses.test_control_token]
        secrets.append(addresses.metrics_token)
        shown = " ".join([*marked(marker).values(), repr(addresses)])
        assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, "enabled_events%5B%5D=%2A"),
        (
            {"events": ("invoice.paid", "charge.refunded")},
            "enabled_events%5B%5D=invoice.paid&enabled_events%5B%5D=charge.refunded",
        ),
    ],
    ids=["all", "some"],
)
def test_the_webhook_endpoint_is_made_through_the_api_of_stripe(
    tmp_path: Path, given: dict[str, Any], asked: str
) -> None:
    """The endpoint asks for its events at the service's address, under the stack's own key."""
    with Stack(options(folder=tmp_path, **given)) as stack:
        addresses = stack.addresses
        url = urllib.parse.quote_plus(addresses.webhook_url)
        wanted = f"/v1/webhook_endpoints Bearer sk_test_ url={url}&{asked}\n"
        assert wanted in (tmp_path / "stripe.log").read_text()
        assert addresses.webhook_secret == "whsec_standin"


def test_addresses_are_told_to_machines_and_profiles() -> None:
    """The same facts come as one line of JSON and as variables; a database's password does not."""
    url = "postgresql+psycopg://me:hunter2@127.0.0.1/db"
    with Stack(options(database=url)) as stack:
        told = json.loads(stack.addresses.to_json())
        env = stack.environment()
    assert "\n" not in stack.addresses.to_json()
    assert told["database_url"] == "postgresql+psycopg://me:***@127.0.0.1/db"
    assert env["STACK_DATABASE_URL"] == url
    assert told["webhook_url"] == f"{env['STACK_BILLING_URL']}/api/webhooks/stripe"
    assert told["api_docs_url"].startswith(env["STACK_BILLING_URL"])
    assert env["STACK_LOG_DIR"] == told["folder"]
    assert set(env) == {
        f"STACK_{name}"
        for name in (
            *("BILLING_URL", "STRIPE_URL", "WEBHOOK_SECRET", "OPERATOR_KEY", "STRIPE_API_KEY"),
            *("TEST_CONTROL_TOKEN", "METRICS_TOKEN", "DATABASE_URL", "LOG_DIR", "MAIL_DIR"),
            "PREVIOUS_WEBHOOK_SECRET",
        )
    }


def test_a_temporary_folder_goes_and_a_given_one_stays(tmp_path: Path) -> None:
    """The stack's own folder is removed unless kept; a given one stays, cleared for the next."""
    with Stack(options()) as stack:
        own = Path(stack.addresses.folder)
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert not own.exists()
    given = tmp_path / "new" / "folder"
    given.mkdir(parents=True)
    (given / "billing.sqlite3-wal").write_text("of an earlier stack")
    (given / "notes.txt").write_text("of the user")
    with Stack(options(folder=given)):
        assert not (given / "billing.sqlite3-wal").exists()
    assert (given / "billing-1.log").exists()
    assert (given / "notes.txt").exists()


def test_stacks_side_by_side_do_not_meet() -> None:
    """Two stacks have their own ports, folders and keys, and end apart; workers share a port."""
    with Stack(options(workers=2)) as second:
        with Stack(options()) as first:
            one, other = first.environment(), second.environment()
            assert [name for name in one if one[name] == other[name]] == ["STACK_WEBHOOK_SECRET"]
        assert not second.dead()
        assert get(f"{second.addresses.billing_url}/ready")
        assert len(list(Path(second.addresses.folder).glob("billing-*.log"))) == 2


def test_a_folder_of_a_running_stack_is_refused(tmp_path: Path) -> None:
    """A second stack in the same folder is refused, and the first goes on."""
    with Stack(options(folder=tmp_path)) as first:
        with (
            pytest.raises(StackError, match="another stack runs in"),
            Stack(options(folder=tmp_path)),
        ):
            pass
        assert not first.dead()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folder": Path("/proc/none")}, "folder cannot be used"),
        ({"database": "mysql://x"}, "neither `sqlite` nor"),
        ({"billing_port": 65536}, "port 65536 for the billing service cannot be had: ports end"),
    ],
)
def test_options_that_cannot_be_had_are_refused(changes: dict[str, Any], message: str) -> None:
    """A folder, database or port that cannot be had is told before any process starts."""
    with pytest.raises(StackError, match=message) as caught, Stack(options(**changes)):
        pass
    assert caught.value.hint


def test_a_taken_port_is_named() -> None:
    """A port that somebody serves is refused by number, with what to do."""
    with reserve(0, "a test") as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(
                StackError, match=f"port {port} for the Stripe simulator .* in use"
            ) as caught,
            Stack(options(stripe_port=port)),
        ):
            pass
    assert caught.value.hint
    with Stack(options(stripe_port=port)) as stack:
        assert stack.addresses.stripe_url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fail", "stripe ended before it was ready; exit status 1(?s:.*)line 19"),
        ("never_ready", "stripe was not ready within 1 s .*; still running"),
        ("bad_migration", "migrate failed; exit status 1(?s:.*)no such table"),
        ("odd_endpoint", "webhook endpoint: the secret is not a string"),
        ("no_endpoint", "webhook endpoint: status 400: .*no such parameter"),
    ],
)
def test_a_failing_start_leaves_nothing(
    fault: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that fails says which part, how and its last words; its logs stay to be read."""
    monkeypatch.setenv("STANDIN", f"{fault},daemon")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    deadline_s = 1 if fault == "never_ready" else 30
    with pytest.raises(StackError, match=message), Stack(options(deadline_s=deadline_s)):
        pass
    assert list(tmp_path.glob("billing-stack-*/stripe.log"))


def test_a_stripe_that_is_not_there_makes_no_endpoint() -> None:
    """Where nothing answers, the error says that the endpoint is what could not be made."""
    with pytest.raises(StackError, match=r"did not make a webhook endpoint: URLError.*refused"):
        make_endpoint("http://127.0.0.1:1", "sk_test_x", "http://127.0.0.1:1/hook")


def test_a_service_that_fails_ends_the_stack() -> None:
    """When the service fails though simulator and migration are fine, all of it ends."""
    program = ("sh", "-c", '[ "$1" = migrate ] || exit 7', "sh")
    stack = Stack(StackOptions(stripe_program=STANDIN_PROGRAM, billing_program=program))
    with (
        pytest.raises(StackError, match="billing-1 ended before it was ready; exit status 7"),
        stack,
    ):
        pass


def test_a_death_in_the_middle_is_told() -> None:
    """A process that dies during the run is listed by name and status with its log, once dead."""
    with Stack(options()) as stack:
        assert stack.dead() == []
        os.kill(get(f"{stack.addresses.billing_url}/pid"), signal.SIGKILL)
        assert eventually(stack.dead)
        [dead] = stack.dead()
        assert (dead.name, dead.status) == ("billing-1", 137)
        assert "GET /ready" in dead.log_tail
        with pytest.raises(httpx.ConnectError):
            get(f"{stack.addresses.billing_url}/ready")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("fault", ["daemon", "daemon,never_ready"])
def test_nothing_outlives_a_killed_parent(
    how: signal.Signals, fault: str, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the parent is ended, during the start or the run, all processes end with it."""
    monkeypatch.setenv("STANDIN", fault)
    with driver("standin") as process:
        if "never_ready" in fault:
            assert eventually(lambda: marked(marker, "time.sleep") and marked(marker, "serve --fd"))
        else:
            assert process.stdout
            assert json.loads(process.stdout.readline())["billing_url"]
        assert len(marked(marker)) > 2
        os.killpg(process.pid, how)
        assert process.wait(timeout=30) != 0
        assert eventually(lambda: not marked(marker))


def test_a_death_that_a_test_asked_for_is_mended() -> None:
    """A service that a failpoint killed comes back at its address, and counts as one that lives."""
    acted = [{"name": "a.place", "action": "kill", "nth": 1, "hits": 1, "has_acted": True}]
    with Stack(options()) as stack:
        url, file = stack.addresses.billing_url, "billing-failpoints-0.json"
        before = get(f"{url}/pid")
        armed = Path(stack.addresses.folder) / file
        armed.write_text(json.dumps(acted))
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda: not armed.exists())
        assert get(f"{url}/pid") != before
        assert stack.dead() == []
        os.kill(get(f"{url}/pid"), signal.SIGKILL)
        assert eventually(stack.dead), "a second death, which nobody asked for"
