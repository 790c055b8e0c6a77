"""Odd documents: refused in a sentence, or drafted, and never a crash."""

from __future__ import annotations

import importlib
import json
import os
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import DraftError
from harness.target.draft import draft_profile, read_document
from harness.target.draft.document import Document
from harness.target.draft.endpoints import endpoints
from harness.target.draft.toml_text import comment, table
from harness.target.reader import blanks, read_profile
from tests.cli.targets import serving
from tests.core.drafting import CAMEL, STRIPE_LIKE, document, drafted, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = (
    *("paths", "get", "post", "put", "delete", "parameters", "requestBody", "responses", "content"),
    *("application/json", "schema", "properties", "items", "allOf", "anyOf", "oneOf", "required"),
    *("$ref", "type", "enum", "default", "in", "name", "security", "servers", "url", "headers"),
    *("components", "securitySchemes", "schemas", "200", "202", "4XX", "id", "email", "customer"),
    *("/customers", "/customers/{id}", "/v1/{a}/usage/{b}", "/subscriptions/{}", "/x/{y", "/a b"),
    *("#/components/schemas/A", "#/paths", "#", "other.json#/A", "string", "integer", "array"),
    *("subscription_id", "credits", "amount\n# x", 'quote"\\', "'", "<?>", "\ud800", "\x00", ""),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS))
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=40,
)
SCHEMA = st.recursive(
    st.sampled_from(
        [{"type": "string"}, {"type": "integer"}, {"$ref": "#/components/schemas/A"}, {}, None]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", ["string", "null"], 3]),
            "properties": st.dictionaries(st.sampled_from(WORDS), inner, max_size=4) | LEAVES,
            "items": inner,
            "required": st.lists(st.sampled_from(WORDS), max_size=3) | LEAVES,
            "anyOf": st.lists(inner, max_size=3),
            "allOf": st.lists(inner, max_size=3),
            "enum": st.lists(LEAVES, max_size=3),
            "default": LEAVES,
            "maximum": LEAVES,
        },
    ),
    max_leaves=12,
)
PATHS = st.sampled_from(
    [
        *("/customers", "/customers/{id}", "/customers/{id}/cards", "/c/{x}/usage/{reference}"),
        *("/subscriptions/{a-b}", "/customers/{id}/subscription/cancel", "/wallet", "/invoices"),
        *("/webhooks/stripe", "/x{y}z/{customer}.json", "/customers/{CUSTOMER}/ledger", "/keys"),
        *("/test/clock", "/refunds", "/customers/{a}/{b}/{c}", "/\u00e9/{customer}", "/{", "//"),
    ]
)


def _content(schema: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


OPERATION = st.builds(
    lambda body, reply, status, more: {
        "requestBody": _content(body),
        "responses": {status: _content(reply)},
        **more,
    },
    SCHEMA,
    SCHEMA,
    st.sampled_from(["200", "201", "202", "2XX", "default", "404"]),
    st.dictionaries(
        st.sampled_from(["parameters", "tags", "operationId", "summary", "security"]), ANYTHING
    ),
)
METHODS = st.sampled_from(["get", "post", "put", "patch", "delete"])
PLAUSIBLE = st.builds(
    lambda paths, schema, info: document(
        paths, components={"schemas": {"A": schema}, "securitySchemes": info}, info=info
    ),
    st.dictionaries(PATHS, st.dictionaries(METHODS, OPERATION, min_size=1), min_size=1, max_size=8),
    SCHEMA,
    ANYTHING,
)


def _drafted(found: dict[str, Any], folder: Path) -> None:
    """Hold that a draft is TOML whose blanks are all that keeps it from being read."""
    draft, data = drafted(found)
    assert set(blanks(data)) == set(draft.blanks)
    file = folder / "odd.toml"
    file.write_text(filled(draft.text), "utf-8")
    read_profile(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that examples share."""
    return tmp_path_factory.mktemp("odd")


@settings(max_examples=max(20, settings().max_examples // 5))
@given(PLAUSIBLE)
@example(CAMEL)
@example(STRIPE_LIKE)
def test_any_document_becomes_a_profile_that_can_be_read(folder: Path, found: Any) -> None:
    """Whatever its schemas, names and security are, the filled draft has no mistake."""
    _drafted(found, folder)


@given(st.dictionaries(st.sampled_from(WORDS), ANYTHING, max_size=5), ANYTHING)
def test_no_document_breaks_the_draft(folder: Path, paths: Any, more: Any) -> None:
    """JSON of any shape at any place is drafted too, if only as a list of what was not found."""
    whole = {**(more if isinstance(more, dict) else {"components": more, "info": more})}
    _drafted({"openapi": "3.1.0", **whole, "paths": paths}, folder)


@given(st.dictionaries(st.text(max_size=8), ANYTHING, max_size=5), st.text(max_size=300))
def test_any_data_is_written_as_toml(data: dict[str, Any], text: str) -> None:
    """Keys and strings of any kind are written so that TOML reads them; a comment stays one."""
    lines = list(table("t", data, [(key, text) for key in data]))
    assert tomllib.loads("\n".join([*comment(text), *lines]))["t"].keys() == {
        *(key.encode("utf-8", "replace").decode() for key in data)
    }


def test_schemas_in_a_circle_come_to_an_end() -> None:
    """A schema made of itself, in every way there is, is walked through in no time."""
    ring: dict[str, Any] = {"$ref": "#/components/schemas/A"}
    branches = {name: [ring] * 50 for name in ("allOf", "anyOf", "oneOf")}
    within = {f"p{n}": ring for n in range(50)}
    schemas = {"A": {**branches, "properties": within, "items": ring}, "B": {"$ref": "#/B"}}
    found = document(
        {"/customers": {"post": {"requestBody": _content(ring), "responses": {"201": ring}}}},
        components={"schemas": schemas},
        B={"$ref": "#/components/schemas/B"},
    )
    (endpoint,) = endpoints(Document(found))
    assert len(endpoint.body) <= 200
    assert Document(found).resolve({"$ref": "#/B"}) == {}


def test_references_outside_the_document_are_not_followed(folder: Path) -> None:
    """A file or an address in a reference is neither opened nor fetched: it stands for nothing."""
    outside = {"$ref": (folder / "secret.json").as_uri()}
    (folder / "secret.json").write_text('{"properties": {"email": {"type": "string"}}}')
    found = document({"/customers": {"post": {"requestBody": _content(outside), "responses": {}}}})
    assert endpoints(Document(found))[0].body == ()


BAD = {
    "nothing.json": (None, "cannot be read: No such file"),
    "empty.json": ("", "is no OpenAPI 3 document"),
    "list.json": ("[1]", "is no OpenAPI 3 document: it has no `openapi` key"),
    "broken.json": ('{"openapi": "3.0.0", ', "is broken JSON"),
    "broken.yaml": ("openapi: 3.0.0\n  paths: [", "is neither JSON nor YAML"),
    "swagger.json": ('{"swagger": "2.0", "paths": {}}', "is Swagger 2.0"),
    "future.json": ('{"openapi": "4.0.0", "paths": {"/": {}}}', "openapi = '4.0.0'"),
    "bare.json": ('{"openapi": "3.1.0", "paths": {}}', "describes no paths"),
    "deep.json": ("[" * 100_000, "is nested too deeply"),
    "deep.yaml": ("a: " + "[" * 50_000, "nested too deeply"),
    "odd.json": ("\x00\x01", "is neither JSON nor YAML"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_document_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    """Missing, empty, broken, too deep, Swagger 2: the reason, and what to give instead."""
    text, why = BAD[name]
    file = tmp_path / name
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(DraftError, match=re.escape(why)) as caught:
        read_document(str(file))
    assert caught.value.hint


def test_a_huge_file_a_folder_and_a_pipe_are_not_read(tmp_path: Path) -> None:
    """Fifty megabytes are too much, a folder is no file, and nobody waits for a pipe."""
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place, why in (
        (huge, "larger than 16 MiB"),
        (tmp_path, "not a file"),
        (pipe, "not a file"),
    ):
        with pytest.raises(DraftError, match=why):
            read_document(str(place))
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'{"openapi": "3.0.0", "info": "\xe9"}')
    with pytest.raises(DraftError, match="not text in UTF-8"):
        read_document(str(latin))


@pytest.mark.parametrize(
    "address", ["ftp://x/y", "file:///etc/hosts", "http://", "http://h:0/x", "http://h/a b", "x://"]
)
def test_only_http_and_files_are_read(address: str) -> None:
    """No other scheme is tried, and what is no address is told so."""
    with pytest.raises(DraftError, match=r"is not read|is no address"):
        read_document(address)


def test_addresses_that_hang_move_or_answer_pages_are_refused() -> None:
    """An address that never answers ends by its deadline; HTML is no document."""
    with serving("hang") as odd, pytest.raises(DraftError, match=r"no answer within 0\.2 s"):
        read_document(f"{odd.url}/openapi.json", timeout_s=0.2)
    with serving("html") as odd, pytest.raises(DraftError, match="is n"):
        read_document(f"{odd.url}/openapi.json")
    with serving("turn_away") as odd, pytest.raises(DraftError, match="answers HTTP 401"):
        read_document(f"{odd.url}/openapi.json")
    with pytest.raises(DraftError, match="cannot be fetched"):
        read_document(f"{odd.url}/openapi.json")


def test_yaml_is_read_and_its_lack_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """YAML gives the same draft as JSON; where PyYAML is not installed, the way out is told."""
    yaml = pytest.importorskip("yaml")
    file, same = tmp_path / "camel.yaml", tmp_path / "camel.json"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(CAMEL))), "utf-8")
    same.write_text(json.dumps(CAMEL, sort_keys=True), "utf-8")
    drafts = [draft_profile(read_document(str(each)), "x") for each in (file, same)]
    assert drafts[0] == drafts[1]
    file.write_text("openapi: 3.0.0\npaths:\n  /customers:\n    get: {responses: {200: {}}}\n")
    assert endpoints(read_document(str(file)))[0].statuses == (200,)

    def missing(name: str) -> Iterator[None]:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(DraftError, match="PyYAML") as caught:
        read_document(str(file))
    assert "JSON" in str(caught.value.hint)
