from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote

from hypothesis import given
from hypothesis import strategies as st

from harness.target.template import encode, fill, fill_path, placeholders

TEXTS = st.text(min_size=1) | st.sampled_from(
    [".", "..", "a/../b", "/", "?x=1", "#", "%2e%2e", "{b}", "a b", "ü", "\r\n", "\\", ";v=1"]
)
LEAVES = st.integers() | st.booleans() | st.text()
NAMES = st.text("abcxyz_", min_size=1, max_size=6)
BODIES = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(NAMES, inner, min_size=1, max_size=3)
        ),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


@given(TEXTS, TEXTS)
def test_no_input_can_change_the_route(first: str, second: str) -> None:
    """Whatever is filled in, the path has the template's segments, and each holds its input."""
    path = fill_path("/v1/{a}/x/{b}", {"a": first, "b": second})
    _, version, one, fixed, two = path.split("/")
    assert (version, unquote(one), fixed, unquote(two)) == ("v1", first, "x", second)
    assert not {one, two} & {".", ".."}
    assert re.fullmatch(r"[A-Za-z0-9_.~%/-]+", path)


@given(LEAVES | st.lists(LEAVES) | st.dictionaries(NAMES, LEAVES))
def test_a_lone_placeholder_keeps_its_type(value: object) -> None:
    """An input that stands alone goes into the body as it is."""
    filled = fill({"outer": {"value": "{value}"}, "list": ["{value}"]}, {"value": value})
    assert filled == {"outer": {"value": value}, "list": [value]}
    assert type(filled["outer"]["value"]) is type(value)


@given(st.sets(st.sampled_from("abcd")))
def test_absent_inputs_leave_their_keys_out(given_names: set[str]) -> None:
    """A key whose input was not given is left out, and so is a table of nothing but such keys."""
    template = {"deep": {"a": "{a}", "b": ["{b}"]}, "c": "{c}-{d}", "fixed": "x", "empty": {}}
    filled = fill(template, dict.fromkeys(given_names, 1))
    deep: dict[str, object] = {"b": [1] if "b" in given_names else []}
    deep |= {"a": 1} if "a" in given_names else {}
    assert filled["deep"] == deep
    assert ("c" in filled) == ({"c", "d"} <= given_names)
    assert (filled["fixed"], filled["empty"]) == ("x", {})


def test_nothing_given_leaves_no_body() -> None:
    """A body of nothing but absent inputs is no body."""
    assert fill({"a": {"b": "{b}"}}, {"b": None}) is None


@given(st.text())
def test_what_is_filled_in_is_not_filled_again(text: str) -> None:
    """Braces in an input are text, not placeholders."""
    assert fill({"a": "<{a}>"}, {"a": f"{{b}}{text}", "b": "no"}) == {"a": f"<{{b}}{text}>"}


@given(BODIES)
def test_a_form_decodes_back_to_what_went_in(body: dict[str, Any]) -> None:
    """Brackets tell tables and places in lists, so that the body can be put together again."""
    kind, encoded = encode(body, "form")
    assert kind == "application/x-www-form-urlencoded"
    assert _unbracketed(encoded) == _texts(body)


@given(BODIES)
def test_json_decodes_back_to_what_went_in(body: dict[str, Any]) -> None:
    """A body as JSON is the same body."""
    assert json.loads(encode(body, "json")[1]) == body


def test_placeholders_are_found_however_deep() -> None:
    """Names stand in nested tables and lists; numbers and upper case are none."""
    assert placeholders({"a": [{"b": "{x}{y_1}"}, "{X}", "${Z}", 3], "c": None}) == {"x", "y_1"}


def _texts(value: Any) -> Any:
    """Write leaves as a form does."""
    if isinstance(value, dict):
        return {key: _texts(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_texts(entry) for entry in value]
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _unbracketed(encoded: bytes) -> Any:
    """Put a bracketed form together: digits in brackets are places in a list."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(encoded.decode(), keep_blank_values=True):
        *parents, last = re.findall(r"[^\[\]]+", name)
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return _listed(tree)


def _listed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if all(key.isdigit() for key in tree):
        return [_listed(tree[str(place)]) for place in range(len(tree))]
    return {key: _listed(entry) for key, entry in tree.items()}
