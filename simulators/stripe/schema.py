"""Parameters: what an endpoint takes, and Stripe's errors for what it does not.

A schema is data: ``Params({"amount": Integer(1), "items": Array(Hash({...}))}, required=...)``.
What Stripe has and the simulator has not built is no part of a schema and so is refused as
unknown: a test can then never pass because a parameter was silently ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from simulators.stripe.errors import BadParameters, missing, unknown
from simulators.stripe.forms import Raw

MAX_INT = 2**53
_DIGITS_MAX = 18
_INDEX_DIGITS_MAX = 5
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")


class Field(Protocol):
    """One parameter: reads raw form data into a value, or raises `BadParameters`."""

    def read(self, raw: Raw, path: str) -> Any:
        """Return the value; `path` is the parameter's name as Stripe writes it."""
        ...


def _text(raw: Raw, path: str, expected: str = "string") -> str:
    if not isinstance(raw, str):
        raise BadParameters(f"Invalid {expected}: {str(raw)[:100]}", param=path)
    return raw


def _refuse_empty(path: str) -> BadParameters:
    return BadParameters(
        f"You passed an empty string for '{path}'. We assume empty values are an attempt to "
        f"unset a parameter; however '{path}' cannot be unset. You should remove '{path}' from "
        "your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=path,
    )


@dataclass(frozen=True)
class Text:
    """A string; an empty one is None where the field can be unset, and refused elsewhere."""

    length_max: int = 5_000
    clearable: bool = True

    def read(self, raw: Raw, path: str) -> str | None:
        """Return the string."""
        value = _text(raw, path)
        if not value:
            if self.clearable:
                return None
            raise _refuse_empty(path)
        if len(value) > self.length_max:
            raise BadParameters(
                f"Invalid string: {value[:20]}…{value[-8:]}; must be at most "
                f"{self.length_max} characters",
                param=path,
            )
        return value


ID = Text(clearable=False)
CLEARABLE_ID = Text()


@dataclass(frozen=True)
class Integer:
    """A whole number within bounds. `clearable`: an empty string unsets it."""

    minimum: int = 0
    maximum: int = MAX_INT
    clearable: bool = False

    def read(self, raw: Raw, path: str) -> int | None:
        """Return the number."""
        text = _text(raw, path, "integer")
        if not text:
            if self.clearable:
                return None
            raise _refuse_empty(path)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
            raise BadParameters(
                f"Invalid integer: {text[:100]}", code="parameter_invalid_integer", param=path
            )
        value = int(text)
        if value < self.minimum:
            raise BadParameters(
                f"This value must be greater than or equal to {self.minimum}.",
                code="parameter_invalid_integer",
                param=path,
            )
        if value > self.maximum:
            raise BadParameters(
                f"This value must be less than or equal to {self.maximum}.",
                code="parameter_invalid_integer",
                param=path,
            )
        return value


TIMESTAMP = Integer(0, 2**33)


@dataclass(frozen=True)
class Percent:
    """A part of a hundred, above 0 and up to 100, with at most four decimals."""

    def read(self, raw: Raw, path: str) -> float:
        """Return the number."""
        text = _text(raw, path, "number")
        if not _PERCENT.fullmatch(text) or not 0 < float(text) <= 100:  # noqa: PLR2004 - a hundred
            raise BadParameters(f"Invalid decimal: {text[:100]}", param=path)
        return float(text)


@dataclass(frozen=True)
class Flag:
    """A boolean, written ``true`` or ``false``."""

    def read(self, raw: Raw, path: str) -> bool:
        """Return the boolean."""
        text = _text(raw, path, "boolean")
        if text not in {"true", "false"}:
            raise BadParameters(f"Invalid boolean: {text[:100]}", param=path)
        return text == "true"


class Choice:
    """One of a few words; an empty string unsets it where that is allowed."""

    def __init__(self, *words: str, clearable: bool = False) -> None:
        self.words = words
        self.clearable = clearable

    def read(self, raw: Raw, path: str) -> str | None:
        """Return the word."""
        text = _text(raw, path)
        if not text and self.clearable:
            return None
        if text not in self.words:
            options = ", ".join(self.words[:-1])
            options = f"{options}, or {self.words[-1]}" if options else self.words[-1]
            raise BadParameters(f"Invalid {path}: must be one of {options}", param=path)
        return text


@dataclass(frozen=True)
class Hash:
    """Named parameters; unknown ones are refused. Empty unsets the whole where allowed."""

    fields: Mapping[str, Field]
    required: frozenset[str] = frozenset()
    clearable: bool = False

    def read(self, raw: Raw, path: str) -> dict[str, Any] | None:
        """Return the values that were given, by name."""
        if raw == "" and self.clearable:
            return None
        if not isinstance(raw, dict):
            raise BadParameters("Invalid object", param=path)
        surplus = [name for name in raw if name not in self.fields]
        if surplus:
            raise unknown([_join(path, name) for name in surplus])
        for name in sorted(self.required):
            if name not in raw:
                raise missing(_join(path, name))
        return {name: self.fields[name].read(raw[name], _join(path, name)) for name in raw}


@dataclass(frozen=True)
class Array:
    """A list of `of`, written with numbers or with empty brackets; empty means none."""

    of: Field
    length_max: int = 100

    def read(self, raw: Raw, path: str) -> list[Any]:
        """Return the items in order."""
        if raw == "":
            return []
        if isinstance(raw, dict):
            if not all(
                key.isascii() and key.isdigit() and len(key) <= _INDEX_DIGITS_MAX for key in raw
            ):
                raise BadParameters("Invalid array", param=path)
            raw = [raw[key] for key in sorted(raw, key=int)]
        if not isinstance(raw, list):
            raise BadParameters("Invalid array", param=path)
        if len(raw) > self.length_max:
            raise BadParameters(f"Array {path} exceeded maximum size", param=path)
        return [self.of.read(item, f"{path}[{index}]") for index, item in enumerate(raw)]


@dataclass(frozen=True)
class Metadata:
    """Up to 50 keys of 40 characters, values of 500; "" for a key unsets it, for all clears."""

    keys_max: int = 50

    def read(self, raw: Raw, path: str) -> dict[str, str]:
        """Return the given pairs; `merge` applies them. ``{"": ""}`` stands for "clear all"."""
        if raw == "":
            return {"": ""}
        if not isinstance(raw, dict):
            raise BadParameters("Invalid object", param=path)
        for key, value in raw.items():
            if not isinstance(value, str):
                raise BadParameters("Metadata values must be strings.", param=f"{path}[{key}]")
            _check_length(key, 40, "keys", path)
            _check_length(value, 500, "values", f"{path}[{key}]")
        if len(raw) > self.keys_max:
            raise _too_many_keys(path)
        return {key: str(value) for key, value in raw.items()}


def _check_length(text: str, length_max: int, what: str, path: str) -> None:
    if len(text) > length_max:
        raise BadParameters(
            f"Metadata {what} can be up to {length_max} characters, but you passed in a value "
            f"that is {len(text)} characters. Invalid value: {text[:40]}…",
            param=path,
        )


def _too_many_keys(path: str) -> BadParameters:
    return BadParameters("Metadata can have at most 50 keys.", param=path)


def merge_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """Return metadata with `given` applied; a key given as "" goes.

    >>> merge_metadata({"a": "1", "b": "2"}, {"a": "", "c": "3"})
    {'b': '2', 'c': '3'}
    """
    if given is None:
        return old
    if given == {"": ""}:
        return {}
    merged = {key: value for key, value in {**old, **given}.items() if value != ""}
    if len(merged) > Metadata.keys_max:
        raise _too_many_keys("metadata")
    return merged


METADATA = Metadata()


@dataclass(frozen=True)
class TimeRange:
    """``created=5`` or ``created[gte]=5&created[lt]=9``: bounds by name."""

    def read(self, raw: Raw, path: str) -> dict[str, int]:
        """Return the bounds, one of gt, gte, lt, lte each; an exact time gives gte and lte."""
        if isinstance(raw, str):
            exact = TIMESTAMP.read(raw, path)
            return {"gte": exact or 0, "lte": exact or 0}
        bounds = Hash(dict.fromkeys(("gt", "gte", "lt", "lte"), TIMESTAMP)).read(raw, path)
        return bounds or {}


@dataclass(frozen=True)
class OneOf:
    """A word with a meaning of its own, or else another field (``trial_end=now`` or a time)."""

    word: str
    otherwise: Field

    def read(self, raw: Raw, path: str) -> Any:
        """Return the word or the other field's value."""
        return raw if raw == self.word else self.otherwise.read(raw, path)


@dataclass(frozen=True)
class Either:
    """One field for text and another for anything else (``product=prod_…`` or a hash)."""

    text: Field
    otherwise: Field

    def read(self, raw: Raw, path: str) -> Any:
        """Return the value of the field that fits."""
        return (self.text if isinstance(raw, str) else self.otherwise).read(raw, path)


EXPAND = Array(Text(clearable=False))


@dataclass(frozen=True)
class Params:
    """All parameters of one endpoint; every endpoint also takes ``expand``."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def read(self, raw: dict[str, Raw]) -> dict[str, Any]:
        """Return what was given, read and checked."""
        schema = Hash({**self.fields, "expand": EXPAND}, frozenset(self.required))
        return schema.read(raw, "") or {}


LIST_FIELDS: dict[str, Field] = {
    "limit": Integer(1, 100),
    "starting_after": ID,
    "ending_before": ID,
}


def listing(**filters: Field) -> Params:
    """Return the parameters of a list endpoint with these filters."""
    return Params({**LIST_FIELDS, **filters})


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name
