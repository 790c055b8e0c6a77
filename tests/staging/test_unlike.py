"""A reset of a target unlike the reference: it lists nobody, purges nobody, and has no test clocks.

Brook closes accounts, keeps their addresses, and moves its own time, which is everybody's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from harness.cli import build_app
from harness.customers import load_states
from harness.history import History
from harness.naming import Names
from harness.redact import Redactor
from harness.session import Session
from harness.stack.companion import companion
from harness.target.load import find_target
from harness.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

BROOK = Path(__file__).parents[1] / "targets" / "brook.toml"
TEN = list(load_states())


@pytest.fixture
def brook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Run Brook; give a session of somebody else's, in an environment that finds it."""
    source = find_target(str(BROOK))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with companion(source.file, dict(os.environ), 7) as beside:
        for name, value in beside.variables.items():
            monkeypatch.setenv(name, value)
        profile, _ = source.file.resolve({**os.environ, **beside.variables})
        with Transport(profile.target.base_url, profile.target.timeout_s) as transport:
            redactor = Redactor()
            yield Session(
                source.build(profile),
                transport.send,
                History(None, redactor),
                redactor,
                names=Names(7, "run", "other"),
            )


def staging(*arguments: str) -> tuple[int, Any]:
    """Run `staging … --json` in this process; give status and facts."""
    ended = CliRunner().invoke(
        build_app(), ["staging", *arguments, "--target", str(BROOK), "--json"]
    )
    return ended.exit_code, json.loads(ended.stdout)


def read(brook: Session) -> list[object]:
    """Read all that the other customer can see of his own."""
    (customer,) = brook.customers
    names = ("get_customer", "get_balance", "list_ledger", "list_payments", "list_payment_methods")
    return [dict(brook.ok(name, customer=customer).outputs) for name in names]


@pytest.mark.nightly
def test_two_resets_come_to_the_same_ten(brook: Session) -> None:
    """Closed and made anew under other addresses; the other customer stays as he was."""
    brook.ok("create_customer", email="ada@acme.dev", name="Ada", source="direct")
    (ada,) = brook.customers
    brook.ok("add_payment_method", customer=ada, token="pm_card_visa", consent=True)
    brook.ok("record_usage", customer=ada, usage_id="one", quantity=1)
    before = read(brook)
    created = {"created": 10, "fixture_types": TEN}
    assert staging("reset") == (0, {"deleted": 0, **created})
    assert staging("reset") == (0, {"deleted": 10, **created})
    status, facts = staging("status")
    assert {each["standing"] for each in facts["states"].values()} == {"as due"}
    assert status == 0
    assert read(brook) == before
