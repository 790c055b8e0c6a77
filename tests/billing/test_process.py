"""The service as a process: settings, start, readiness, production guards, and its end."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from simulators.billing.storage import migrate as migrations
from simulators.billing.storage.database import Database
from tests.billing.running import (
    Service,
    listening,
    migrate,
    process,
    service_environment,
    serving,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.billing.running import Simulator


def run(
    command: str, env: dict[str, str], deadline_s: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("BILLING_")}
    return subprocess.run(
        [sys.executable, "-m", "simulators.billing", *command.split()],
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )


def test_every_wrong_setting_is_told_at_once() -> None:
    """One message names all mistakes and no value, and the status is 2."""
    ended = run(
        "serve",
        {
            "BILLING_KEY_HMAC_SECRET": "short",
            "BILLING_CURRENCY": "dollars",
            "BILLING_STRIPE_TRIES": "0",
        },
    )
    assert ended.returncode == 2
    for name in ("STRIPE_API_KEY", "KEY_HMAC_SECRET", "CURRENCY", "STRIPE_TRIES"):
        assert f"BILLING_{name}" in ended.stderr
    assert "short" not in ended.stderr.replace("shorter", "")
    assert "Traceback" not in ended.stderr


def test_an_old_database_is_not_served(tmp_path: Path) -> None:
    """Serve does not migrate: it says what to run, and ends with 2."""
    ended = run("serve --port 0", service_environment(tmp_path, "http://127.0.0.1:1"))
    assert ended.returncode == 2
    assert "migrate" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    "sign",
    ["marker", *(pytest.param(sign, marks=pytest.mark.nightly) for sign in ("environment", "key"))],
)
def test_test_controls_refuse_to_start_in_production(tmp_path: Path, sign: str) -> None:
    """Any one sign of production is enough, and the message names it."""
    env = service_environment(tmp_path, "http://127.0.0.1:1")
    migrate(tmp_path, env | ({"BILLING_ENVIRONMENT": "production"} if sign == "marker" else {}))
    env |= {
        "environment": {"BILLING_ENVIRONMENT": "production"},
        "key": {"BILLING_STRIPE_API_KEY": "sk_live_1234567890"},  # scan: allow(made up)
        "marker": {},
    }[sign]
    ended = run("serve --port 0", env)
    assert ended.returncode == 2
    assert "production_environment" in ended.stderr
    assert "sk_live_1234567890" not in ended.stderr  # scan: allow(made up)


@pytest.mark.nightly
def test_production_without_a_token_serves_without_controls(
    tmp_path: Path, simulator: Simulator
) -> None:
    """The routes of test controls are not there at all."""
    env = service_environment(tmp_path, simulator.url)
    env |= {"BILLING_ENVIRONMENT": "production", "BILLING_TEST_CONTROL_TOKEN": ""}
    migrate(tmp_path, env)
    with listening() as (sock, url):
        service = Service(url, tmp_path, env, simulator)
        with serving(service, sock, 0), service.controls as controls:
            assert controls.get("/test/clock").status_code == 404
            assert controls.post("/test/drain", json={}).status_code == 404
            assert controls.get("/ready").json()["environment"] == "production"


def test_sigterm_ends_it_with_status_0_and_one_line_was_printed(
    tmp_path: Path, simulator: Simulator
) -> None:
    """Standard output is the ready line; a request to stop is no failure."""
    env = service_environment(tmp_path, simulator.url)
    migrate(tmp_path, env)
    with listening() as (sock, url):
        service = Service(url, tmp_path, env, simulator)
        with serving(service, sock, 0) as child:
            with service.client() as http:
                assert http.get("/health").json() == {"status": "ok", "environment": "test"}
            assert child.terminate() == 0
            assert child.log.read_text().count('"ready": true') == 1
            assert f'"url": "{url}"' in child.log.read_text()


def test_readiness_follows_the_database(tmp_path: Path, simulator: Simulator) -> None:
    """A database that is taken back a revision makes the service not ready, and still alive."""
    env = service_environment(tmp_path, simulator.url)
    migrate(tmp_path, env)
    with listening() as (sock, url):
        service = Service(url, tmp_path, env, simulator)
        with serving(service, sock, 0), service.client() as http:
            database = Database(env["BILLING_DATABASE_URL"])
            migrations.downgrade(database, "0001")
            database.dispose()
            reply = http.get("/ready")
            assert (reply.status_code, reply.json()["code"]) == (503, "not_ready")
            assert "Retry-After" in reply.headers
            assert http.get("/health").status_code == 200


@pytest.mark.nightly
def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """A port in use is one clear line and status 2."""
    env = service_environment(tmp_path, "http://127.0.0.1:1")
    migrate(tmp_path, env)
    with listening() as (sock, _):
        ended = run(f"serve --port {sock.getsockname()[1]}", env)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "in use" in ended.stderr


@pytest.mark.nightly
def test_without_stripe_nothing_is_kept(tmp_path: Path, simulator: Simulator) -> None:
    """A sign-up while Stripe is away is a 503 with Retry-After, and the e-mail stays free."""
    env = service_environment(tmp_path, "http://127.0.0.1:1")
    migrate(tmp_path, env)
    body = {"email": "later@example.com"}
    with listening() as (sock, url):
        service = Service(url, tmp_path, env, simulator)
        with serving(service, sock, 0), service.client() as http:
            refused = http.post("/api/v1/customers/onboard", json=body)
            assert refused.json()["code"] == "payment_provider_unavailable"
            assert int(refused.headers["Retry-After"]) > 0
        service.env["BILLING_STRIPE_API_BASE"] = simulator.url
        with serving(service, sock, 1), service.client() as http:
            assert http.post("/api/v1/customers/onboard", json=body).status_code == 201


def test_the_help_says_what_there_is(tmp_path: Path) -> None:
    """Without a command the usage is shown."""
    with process(tmp_path, "help", ["simulators.billing", "--help"], {}) as child:
        assert child.popen.wait(20) == 0
        assert "migrate" in child.log.read_text()
