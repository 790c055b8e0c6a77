"""The target's OpenAPI document, and which of its operations are which of the harness's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.errors import HarnessError, Unknown
from harness.operations import OPERATIONS
from harness.target.draft.document import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.target.profile import Profile

OPERATIONS_MAX = 1000
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_LONE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Documented:
    """One documented operation.

    `operation` is the harness's name for it, None where the profile maps none to this request;
    `inputs` gives the harness's input behind each parameter of the path.
    """

    label: str
    pattern: re.Pattern[str]
    operation: str | None
    inputs: Mapping[str, str]

    def ids(self, path: str) -> dict[str, str] | None:
        """Give what a path says for each of its parameters; None if it is another's path."""
        found = self.pattern.fullmatch(path)
        return dict(zip(self.inputs, found.groups(), strict=True)) if found else None


def document_of(profile: Profile) -> dict[str, Any]:
    """Read the document that the profile names.

    Raises `Unknown` where there is none, or none that can be tried: what a target promises is then
    not known, and neither is whether it keeps it.
    """
    assert profile.contract is not None, "whoever asks has looked"
    source = profile.contract.openapi.removeprefix("file:")
    if profile.contract.openapi.startswith("/"):
        source = profile.target.base_url.rstrip("/") + source
    try:
        document = read_document(source, profile.target.timeout_s).data
    except HarnessError as error:
        raise Unknown(f"what the target promises is not known: {error.message}") from None
    count = len(_labels(document))
    if not 0 < count <= OPERATIONS_MAX:
        raise Unknown(f"{source} documents {count} operations, not one to {OPERATIONS_MAX}")
    return document


def prefix_of(document: Mapping[str, Any], base_url: str) -> str:
    """Give what the document's server puts before its paths, unless the target's address has it."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else {}
    url = first.get("url") if isinstance(first, dict) else None
    path = urlsplit(url).path.rstrip("/") if isinstance(url, str) and "{" not in url else ""
    return "" if urlsplit(base_url).path.rstrip("/").endswith(path) else path


def aligned(document: Mapping[str, Any], profile: Profile) -> tuple[Documented, ...]:
    """Give the documented operations that are to be tried, the most literal paths first."""
    excluded: Sequence[str] = profile.contract.exclude if profile.contract else ()
    requests = {
        (method, path.partition("?")[0]): name
        for name, mapping in profile.operations.items()
        for method, _, path in [mapping.request.partition(" ")]
    }
    prefix = prefix_of(document, profile.target.base_url)
    labels = [
        label
        for label in _labels(document)
        if not any(fnmatchcase(" ".join(label), pattern) for pattern in excluded)
    ]
    known = _meanings(labels, requests, prefix)
    found = [_documented(method, path, requests, prefix, known) for method, path in labels]
    return tuple(sorted(found, key=lambda each: len(each.inputs)))


def _labels(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, item in document["paths"].items()
        if isinstance(item, dict)
        for method in item
        if method in _METHODS
    ]


def _documented(
    method: str,
    path: str,
    requests: Mapping[tuple[str, str], str],
    prefix: str,
    known: Mapping[str, str],
) -> Documented:
    name = next(
        (name for (m, p), name in requests.items() if m == method and _alike(prefix + path, p)),
        None,
    )
    # A parameter that no mapped request has may yet be called as one that has a meaning elsewhere.
    inputs = {parameter: known.get(parameter, parameter) for parameter in _LONE.findall(path)}
    return Documented(f"{method} {path}", _pattern(prefix + path), name, inputs)


def _meanings(
    labels: Sequence[tuple[str, str]], requests: Mapping[tuple[str, str], str], prefix: str
) -> dict[str, str]:
    """Say which of the harness's inputs each parameter is, by the requests that the profile maps.

    Reading operations are heard last: their paths say the least.
    """
    found: dict[str, str] = {}
    ordered = sorted(requests.items(), key=lambda pair: OPERATIONS[pair[1]].reads)
    for method, path in labels:
        for (mapped_method, mapped_path), _ in ordered:
            if method == mapped_method and _alike(prefix + path, mapped_path):
                names = zip(_LONE.findall(prefix + path), _LONE.findall(mapped_path), strict=True)
                found |= {parameter: name for parameter, name in names if parameter not in found}
    return found


def _alike(one: str, other: str) -> bool:
    """Whether two templates are the same path, whatever they call their parameters."""
    return _LONE.sub("{}", one) == _LONE.sub("{}", other)


def _pattern(template: str) -> re.Pattern[str]:
    parts = _LONE.split(template)
    written = [re.escape(part) if place % 2 == 0 else "([^/]+)" for place, part in enumerate(parts)]
    return re.compile("".join(written))
