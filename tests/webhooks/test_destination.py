"""Where events may go: nowhere but loopback, what was named, and never production."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.errors import HarnessError, ProductionRefused, SettingsError
from simulators.webhooks.commands.destination import Wish, find_destination
from tests.webhooks.conftest import PRODUCTION_SIGNS, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.webhooks.conftest import Ran, Receiver

ENVIRONMENT = {"STRIPE_WEBHOOK_SECRET": SECRET}
PROFILE = """
[target]
name = "acme"
base_url = "{url}"
environment = "{environment}"
[catalog]
currency = "usd"
[webhooks]
path = "/hook"
secret_env = "ACME_SECRET"
"""


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:4242/a", "http://127.8.9.1/", "https://[::1]:5/a?b=c", "http://LOCALHOST/"],
)
def test_loopback_needs_no_leave(address: str) -> None:
    """This machine may always be sent to."""
    assert find_destination(Wish(to=address), ENVIRONMENT).secret == SECRET


@pytest.mark.parametrize(
    "address",
    [
        "https://billing.example.com/hook",
        "http://127.0.0.1.example.com/",
        "http://0.0.0.0:1/",
        "http://2130706433/",
        "http://localhost.example.com/",
        "http://[::ffff:8.8.8.8]/",
    ],
)
def test_other_machines_must_be_named(address: str) -> None:
    """A host that only looks like loopback is refused too, and the way on is told."""
    with pytest.raises(SettingsError) as caught:
        find_destination(Wish(to=address), ENVIRONMENT)
    assert "--allow-host" in (caught.value.hint or "")


def test_a_named_host_may_be_sent_to() -> None:
    """--allow-host opens that host, and no other."""
    allowed = ["billing.example.com"]
    there = Wish(to="https://Billing.example.com/a", allow_host=allowed)
    assert find_destination(there, ENVIRONMENT).origin == "https://billing.example.com"
    with pytest.raises(SettingsError):
        find_destination(Wish(to="https://example.com/a", allow_host=allowed), ENVIRONMENT)


@pytest.mark.parametrize(
    "address",
    ["", "ftp://127.0.0.1/", "127.0.0.1:80", "http://", "http://me@127.0.0.1/", "http://[::1/"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """Only http and https, a host, and no user name."""
    with pytest.raises(SettingsError, match="address is none"):
        find_destination(Wish(to=address), ENVIRONMENT)


def test_somewhere_must_be_said() -> None:
    """Without an address nothing can be sent, though it can be printed."""
    with pytest.raises(SettingsError, match="nobody to send to"):
        find_destination(Wish(), ENVIRONMENT)
    assert find_destination(Wish(), ENVIRONMENT, is_sent=False).secret == SECRET


@pytest.mark.parametrize("name", PRODUCTION_SIGNS)
def test_any_sign_of_production_refuses(name: str) -> None:
    """The signs are those of the harness's own guard, also for loopback."""
    with pytest.raises(ProductionRefused):
        find_destination(Wish(to="http://127.0.0.1/"), {**ENVIRONMENT, name: "production"})


def test_a_secret_must_be_there() -> None:
    """Without a secret, or with the named variable unset, nothing is signed."""
    with pytest.raises(SettingsError, match="STRIPE_WEBHOOK_SECRET is not set"):
        find_destination(Wish(to="http://127.0.0.1/"), {})
    with pytest.raises(SettingsError, match="OTHER is not set"):
        find_destination(Wish(to="http://127.0.0.1/", secret_env="OTHER"), ENVIRONMENT)


@pytest.mark.parametrize("key", ["sk_" + "live_abcdefgh", "rk_" + "live_abcdefgh", "sk_test_abcd"])
def test_an_api_key_is_no_webhook_secret(key: str) -> None:
    """A key pasted by mistake is neither used nor shown."""
    with pytest.raises(SettingsError, match="API key") as caught:
        find_destination(Wish(to="http://127.0.0.1/", secret=key), {})
    assert key not in f"{caught.value.message} {caught.value.hint}"


def test_two_secrets_or_two_addresses_are_one_too_many() -> None:
    """What contradicts itself is refused."""
    with pytest.raises(SettingsError, match="both give one"):
        find_destination(Wish(to="http://127.0.0.1/", secret="a", secret_env="B"), {"B": "b"})
    with pytest.raises(SettingsError, match="both say where"):
        find_destination(Wish(to="http://127.0.0.1/", target="reference"), ENVIRONMENT)


def test_queries_are_sent_but_not_shown() -> None:
    """A token in the address stays out of what is printed."""
    found = find_destination(Wish(to="http://127.0.0.1/a?token=abc123"), ENVIRONMENT)
    assert found.query == (("token", "abc123"),)
    assert "abc123" not in found.url


def test_a_profile_gives_address_and_secret(
    run: Callable[..., Ran], receiver: Receiver, tmp_path: Path
) -> None:
    """With --target the profile's own webhook path and secret are used."""
    file = tmp_path / "acme.toml"
    origin = receiver.url.removesuffix("/hook")
    file.write_text(PROFILE.format(url=origin, environment="test"))
    ran = run("send", "invoice.paid", "--target", file, ACME_SECRET=SECRET)
    assert (ran.status, receiver.types) == (0, ["invoice.paid"])


def test_a_profile_of_production_is_refused(tmp_path: Path) -> None:
    """A profile that says production is one, whatever its address."""
    file = tmp_path / "acme.toml"
    file.write_text(PROFILE.format(url="http://127.0.0.1:1", environment="production"))
    with pytest.raises(ProductionRefused):
        find_destination(Wish(target=str(file)), {"ACME_SECRET": SECRET})


def test_a_profile_without_webhooks_is_refused(tmp_path: Path) -> None:
    """A profile that names no receiver cannot be sent to."""
    file = tmp_path / "acme.toml"
    text = PROFILE.format(url="http://127.0.0.1:1", environment="test")
    file.write_text(text.partition("[webhooks]")[0])
    with pytest.raises(HarnessError, match=r"no \[webhooks\]"):
        find_destination(Wish(target=str(file)), ENVIRONMENT)
