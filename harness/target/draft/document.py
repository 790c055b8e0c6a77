"""Reads an OpenAPI document from a file or an address, within limits, and follows its references.

What is read is somebody else's: it may be broken, endless, or refer to itself. A reference that
leads outside the document is never followed.
"""

from __future__ import annotations

import importlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from harness.errors import DraftError
from harness.target.wire import Call, NoReply
from harness.transport import REPLY_BYTES_MAX, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable

FETCH_TIMEOUT_S = 10.0
_REFERENCES_MAX = 20  # one after the other, to one place
_MIB = 1024 * 1024
_YAML_CHARS_MAX = 4 * _MIB
_YAML_DEPTH_MAX = 200
_ADVICE = "Give a file or an http(s) address of an OpenAPI 3.0 or 3.1 document, in JSON or YAML."


@dataclass(frozen=True, slots=True)
class Document:
    """An OpenAPI document as plain data; `origin` is where it came from, scheme and host only."""

    data: dict[str, Any]
    origin: str | None = None

    def resolve(self, node: Any) -> dict[str, Any]:
        """Give the object that a node is or refers to; an empty one where that leads nowhere."""
        for _ in range(_REFERENCES_MAX):
            if not isinstance(node, dict):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = self._at(reference)
        return {}

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return None
        found: Any = self.data
        for part in reference[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                found = found.get(name) if isinstance(found, dict) else None
        return found


def read_document(source: str, timeout_s: float = FETCH_TIMEOUT_S) -> Document:
    """Read the document at a path or an http(s) address. Raises `DraftError` with the next step."""
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if scheme and scheme not in {"http", "https"}:
        raise DraftError(f"{scheme}:// is not read, only files, http:// and https://", hint=_ADVICE)
    raw = _fetched(source, timeout_s) if scheme else _from_file(Path(source))
    parts = urlsplit(source)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if scheme else None
    return Document(_checked(_parsed(raw, source), source), origin)


def _from_file(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - a pipe would be waited for
            raise DraftError(f"{path} is not a file", hint=_ADVICE)
        with path.open("rb") as file:
            raw = file.read(REPLY_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DraftError(f"{path} cannot be read: {said}", hint=_ADVICE) from None
    if len(raw) > REPLY_BYTES_MAX:
        raise _too_large(str(path))
    return raw


def _too_large(source: str) -> DraftError:
    return DraftError(
        f"{source} is larger than {REPLY_BYTES_MAX // _MIB} MiB",
        hint="Cut it down to the paths of the billing API and what they refer to.",
    )


def _fetched(source: str, timeout_s: float) -> bytes:
    base, path = _address(source)
    with Transport(base, timeout_s) as transport:
        reply = transport.send(Call("GET", path, headers=(("Accept", "application/json, */*"),)))
    if isinstance(reply, NoReply):
        if reply.reason == "too_large":
            raise _too_large(source)
        what = f"no answer within {timeout_s:g} s" if reply.reason == "timeout" else reply.detail
        raise DraftError(
            f"{source} cannot be fetched: {what}",
            hint="Check the address, or save the document and give the file.",
        )
    if reply.status != 200:  # noqa: PLR2004 - RFC 9110
        moved = reply.header("location")
        where = f", and points to {moved}" if moved else ""
        raise DraftError(
            f"{source} answers HTTP {reply.status}{where}",
            hint="Give the address that answers 200 without a login, or save the document"
            " and give the file.",
        )
    return reply.body


def _address(source: str) -> tuple[str, str]:
    """Split an address into scheme and host, and path and query. Raises `DraftError`."""
    try:
        parts = urlsplit(source)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good or not source.isascii() or any(ord(mark) <= ord(" ") for mark in source):
        raise DraftError(f"{source} is no address", hint=_ADVICE)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"{parts.scheme}://{parts.netloc}", path


def _parsed(raw: bytes, source: str) -> Any:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DraftError(f"{source} is not text in UTF-8", hint=_ADVICE) from None
    try:
        return json.loads(text)
    except RecursionError:
        raise DraftError(f"{source} is nested too deeply to be read", hint=_ADVICE) from None
    except ValueError as error:
        if text.lstrip().startswith(("{", "[")):
            raise DraftError(f"{source} is broken JSON: {error}", hint=_ADVICE) from None
    return _from_yaml(text, source)


def _from_yaml(text: str, source: str) -> Any:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        raise DraftError(
            f"{source} is not JSON, and YAML needs PyYAML, which is not installed",
            hint="Install PyYAML beside the harness, or save the document as JSON.",
        ) from None
    if len(text) > _YAML_CHARS_MAX:
        raise DraftError(
            f"{source} is YAML of more than {_YAML_CHARS_MAX // _MIB} MiB, which takes too long",
            hint="Save the document as JSON, or cut it down to the paths of the billing API.",
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if _depth(yaml.parse(text, loader)) > _YAML_DEPTH_MAX:
            raise DraftError(f"{source} is nested too deeply to be read", hint=_ADVICE)
        return yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise DraftError(f"{source} is neither JSON nor YAML: {said}", hint=_ADVICE) from None


def _depth(events: Iterable[Any]) -> int:
    """Say how deep a YAML text is nested, from its events: building it would end the process."""
    deepest = depth = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith(("MappingStartEvent", "SequenceStartEvent"))
        depth -= name.endswith(("MappingEndEvent", "SequenceEndEvent"))
        deepest = max(deepest, depth)
        if deepest > _YAML_DEPTH_MAX:
            break
    return deepest


def _checked(data: Any, source: str) -> dict[str, Any]:
    if isinstance(data, dict) and "swagger" in data:
        raise DraftError(
            f"{source} is Swagger {data['swagger']}, which is not read",
            hint="Convert it to OpenAPI 3 first (https://converter.swagger.io does), then draft.",
        )
    version = data.get("openapi") if isinstance(data, dict) else None
    if not isinstance(version, str | float) or not str(version).startswith("3."):
        found = "no `openapi` key" if version is None else f"openapi = {version!r}"
        raise DraftError(f"{source} is no OpenAPI 3 document: it has {found}", hint=_ADVICE)
    if not isinstance(data.get("paths"), dict) or not data["paths"]:
        raise DraftError(f"{source} describes no paths, so there is nothing to map", hint=_ADVICE)
    return dict(data)
