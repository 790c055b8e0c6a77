"""Reads what other jobs left, none of which is believed: sizes are capped, shapes are checked."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

JSON_BYTES_MAX = 64 * 1024 * 1024
XML_BYTES_MAX = 32 * 1024 * 1024
TOML_BYTES_MAX = 1024 * 1024
_XML_DEPTH_MAX = 32


class Unreadable(Exception):
    """A file is missing, damaged or too large; the message is a sentence that names it."""


def read_bytes(path: Path, bytes_max: int) -> bytes:
    """Read a file of at most so many bytes. Raises `Unreadable`."""
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise Unreadable(f"{path} is missing") from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise Unreadable(f"{path} is larger than {bytes_max} bytes, and was not read")
    if not content:
        raise Unreadable(f"{path} is empty")
    return content


def read_json(path: Path, bytes_max: int = JSON_BYTES_MAX) -> Any:
    """Read a JSON document. Raises `Unreadable`."""
    try:
        return json.loads(read_bytes(path, bytes_max))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path} is no JSON: {error}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML document. Raises `Unreadable`."""
    try:
        return tomllib.loads(read_bytes(path, TOML_BYTES_MAX).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path} is no TOML: {error}") from None


def walk_xml(path: Path, on_element: Callable[[str, Mapping[str, str], int], None]) -> None:
    """Hand each element's name, attributes and depth to `on_element`. Raises `Unreadable`.

    A document type is refused, and with it every entity that could be large or lead elsewhere
    (CWE-776, CWE-611); so are files above a size and elements below a depth.
    """
    parser = expat.ParserCreate()
    depth = 0

    def refuse(*_: object) -> None:
        raise Unreadable(f"{path} declares a document type, which no report of tests does")

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _XML_DEPTH_MAX:
            raise Unreadable(f"{path} nests elements more than {_XML_DEPTH_MAX} deep")
        on_element(name, attributes, depth)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    content = read_bytes(path, XML_BYTES_MAX)
    try:
        parser.Parse(content, True)  # noqa: FBT003 - expat takes it by place
    except (expat.ExpatError, ValueError) as error:
        raise Unreadable(f"{path} is no XML: {error}") from None
