"""`billing-harness profile` drafts, says how far it came, and never takes answers away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.core.drafting import CAMEL
from tests.stack.processes import linux_only

if TYPE_CHECKING:
    from tests.cli.command import Command

pytestmark = linux_only


def test_a_draft_is_written_once_and_says_what_is_next(command: Command) -> None:
    """The figures come first, then the blanks and the next step; a second draft needs --force."""
    (command.folder / "api.json").write_text(json.dumps(CAMEL), "utf-8")
    made = command.run("profile", "--from-openapi", "api.json", "--out", "acme.toml")
    assert made.status == 0, made
    first, blanks, *_ = made.out.splitlines()
    assert first.startswith("5 of ")
    assert "of them unsure; " in first
    assert blanks.startswith("to fill in: target.base_url, target.environment, operations.")
    assert made.out.endswith("then: billing-harness doctor --target acme.toml\n")
    profile = command.folder / "acme.toml"
    profile.write_text("# my answers\n", "utf-8")
    again = command.run("profile", "--from-openapi", "api.json", "--out", "acme.toml")
    again.refused("acme.toml is there already", "--force")
    assert profile.read_text("utf-8") == "# my answers\n"


def test_a_draft_with_blanks_is_refused_by_the_doctor_all_at_once(command: Command) -> None:
    """Without a file the profile is the output itself; the doctor names each blank of it."""
    (command.folder / "api.json").write_text(json.dumps(CAMEL), "utf-8")
    made = command.run("profile", "--from-openapi", "api.json")
    assert made.err.startswith("5 of ")
    (command.folder / "acme.toml").write_text(made.out, "utf-8")
    told = command.run("doctor", "--target", "acme.toml").refused("5 mistakes in the profile")
    for key in ("target.environment", "operations.create_customer.body.segment", "currency"):
        assert key in told


def test_machines_are_told_the_same(command: Command) -> None:
    """`--json` gives the figures and the profile; of a bad document the code and the reason."""
    (command.folder / "api.json").write_text(json.dumps(CAMEL), "utf-8")
    made = command.run("profile", "--json", "--from-openapi", "api.json")
    facts = json.loads(made.out)
    assert facts["mapped"]["record_usage"] == "POST /accounts/{accountId}/usageEvents"
    assert facts["profile"].count("# ? ") == facts["questions"]
    (command.folder / "old.json").write_text('{"swagger": "2.0"}', "utf-8")
    bad = command.run("profile", "--json", "--from-openapi", "old.json")
    bad.refused("old.json is Swagger 2.0", "OpenAPI 3")
    assert json.loads(bad.out)["error"]["code"] == "no_draft"
