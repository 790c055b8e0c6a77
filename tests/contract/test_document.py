from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import SettingsError, Unknown
from harness.target.profile import Contract
from suites.contract import conftest
from suites.contract.document import aligned, document_of, prefix_of
from tests.contract.serving import BODIES, ENDLESS, GOOD, HANGS, ITEM, profile_of, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve documents."""
    with serving() as url:
        yield url


def test_a_document_is_had_from_the_target_an_address_and_a_file(
    address: str, tmp_path: Path
) -> None:
    """A path is the target's, an address anybody's, and the rest is a file."""
    file = tmp_path / "openapi.json"
    file.write_bytes(BODIES["/good"])
    for source in ("/good", f"{address}/good", f"file:{file}"):
        assert document_of(profile_of(address, source)) == GOOD


@pytest.mark.parametrize("path", [*sorted(BODIES.keys() - {"/good"}), "/nowhere", HANGS, ENDLESS])
def test_what_is_no_document_leaves_the_contract_unknown(address: str, path: str) -> None:
    """A page, Swagger 2, broken JSON, far too much or no answer is unknown, with the reason."""
    with pytest.raises(Unknown, match=r"promises|operations") as raised:
        document_of(profile_of(address, path))
    assert path in str(raised.value)


def test_a_file_that_is_not_there_leaves_the_contract_unknown(tmp_path: Path) -> None:
    """A document that is to be read from a file that there is not is unknown, not missing."""
    with pytest.raises(Unknown, match="promises"):
        document_of(profile_of("http://127.0.0.1:9", f"file:{tmp_path}/none.json"))


def test_without_a_contract_or_schemathesis_the_suite_is_skipped(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile without [contract], or an installation without the extra, skips and says why."""
    with pytest.raises(pytest.skip.Exception, match="contract"):
        conftest.promised(profile_of(address, None))
    monkeypatch.setattr(conftest, "find_spec", lambda _: None)
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        conftest.promised(profile_of(address, "/good"))


def _documented(paths: dict[str, Any], **operations: str) -> dict[str, tuple[str | None, Any]]:
    document = {**GOOD, "paths": paths}
    profile = profile_of("http://127.0.0.1:9", "/good", **operations)
    return {each.label: (each.operation, each.inputs) for each in aligned(document, profile)}


def test_operations_are_known_by_method_and_path_whatever_their_parameters_are_called() -> None:
    """A parameter that a mapped request explains is understood in requests that none maps, too."""
    found = _documented(
        {"/v1/accounts/{account_id}": ITEM, "/v1/accounts/{account_id}/notes/{note}": ITEM},
        get_customer="GET /v1/accounts/{customer}?full=1",
        close_customer="DELETE /v1/accounts/{customer}",
    )
    assert found == {
        "GET /v1/accounts/{account_id}": ("get_customer", {"account_id": "customer"}),
        "GET /v1/accounts/{account_id}/notes/{note}": (
            None,
            {"account_id": "customer", "note": "note"},
        ),
    }


def test_what_the_profile_excludes_is_not_tried() -> None:
    """An excluded operation is none of those that are tried."""
    assert _documented({"/test/clock": ITEM, "/things": ITEM}).keys() == {"GET /things"}


def test_a_path_says_whom_it_is_about() -> None:
    """The ids in a path are read, and the most literal path wins over one with parameters."""
    document = {**GOOD, "paths": {"/things/{id}": ITEM, "/things/new": ITEM}}
    first, second = aligned(document, profile_of("http://127.0.0.1:9", "/good"))
    assert (first.label, first.ids("/things/new")) == ("GET /things/new", {})
    assert second.ids("/things/t%2F1") == {"id": "t%2F1"}
    assert second.ids("/things/1/more") is None


@pytest.mark.parametrize(
    ("server", "base_url", "prefix"),
    [
        ("/v2", "https://api.example.com", "/v2"),
        ("/v2", "https://api.example.com/v2", ""),
        ("https://api.example.com/v2/", "https://api.example.com", "/v2"),
        ("https://{region}.example.com/v2", "https://api.example.com", ""),
        (None, "https://api.example.com", ""),
    ],
)
def test_the_server_of_a_document_comes_before_its_paths(
    server: str | None, base_url: str, prefix: str
) -> None:
    """What a document's server puts before paths is sent, unless the target's address has it."""
    document = {**GOOD, "servers": [{"url": server}]} if server else GOOD
    assert prefix_of(document, base_url) == prefix


def test_the_budget_is_the_profiles_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A nightly run asks for more by a variable; one that is no number is refused."""
    fuzzing = pytest.importorskip("suites.contract.fuzzing")
    contract = Contract(openapi="/good", examples=7)
    assert fuzzing.examples_asked(contract) == 7
    monkeypatch.setenv(fuzzing.EXAMPLES_VARIABLE, "200")
    assert fuzzing.examples_asked(contract) == 200
    monkeypatch.setenv(fuzzing.EXAMPLES_VARIABLE, "many")
    with pytest.raises(SettingsError, match="many"):
        fuzzing.examples_asked(contract)
