"""Finds dead links in tracked Markdown: a path that is not tracked, a heading that is not there.

``python -m tools.check_links`` follows relative links, images and reference definitions under the
current folder; it asks no network, so web addresses are left alone. Headings become anchors as on
GitHub. A link counts only if git tracks what it names: a clone has nothing else.
"""

from __future__ import annotations

import functools
import posixpath
import re
import sys
import urllib.parse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tools.gate import Finding, read_text, run_gate, tracked_files

if TYPE_CHECKING:
    from collections.abc import Iterator

FENCE = re.compile(r"^ {0,3}(?P<mark>`{3,}|~{3,})")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
LINK = re.compile(
    r"\]\(\s*(?:<([^>]*)>|([^\s()]*(?:\([^\s()]*\)[^\s()]*)*))(?:\s+[\"'(][^)]*)?\s*\)"
)
DEFINITION = re.compile(r"^ {0,3}\[[^\]^][^\]]*\]:\s*(?:<([^>]*)>|(\S+))")
HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']*)", re.IGNORECASE)
HTML_ANCHOR = re.compile(r"<[a-z]+\b[^>]*?\b(?:id|name)=[\"']([^\"']+)", re.IGNORECASE)
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def examine(root: Path, file: str) -> Iterator[Finding]:
    """Yield the dead links of one Markdown file."""
    for number, line in prose(root / file):
        for pattern in (LINK, DEFINITION, HTML):
            for match in pattern.finditer(line):
                target = next((group for group in match.groups() if group is not None), "")
                if not ELSEWHERE.match(target) and (what := dead(root, file, target)):
                    yield Finding(file, number, f"{target!r} leads nowhere: {what}")


def dead(root: Path, file: str, target: str) -> str | None:
    """Return why a link of `file` leads nowhere, or None where it leads somewhere."""
    path, _, anchor = urllib.parse.unquote(target).partition("#")
    path = path.partition("?")[0]
    if not path and not anchor:
        return "it is empty"
    # As on GitHub, a leading slash means the root of the repository.
    base = "" if path.startswith("/") else posixpath.dirname(file)
    named = posixpath.normpath(posixpath.join(base, path.lstrip("/"))) if path else file
    if named.startswith(".."):
        return "outside the repository"
    if named not in tracked_paths(root):
        return "no such tracked file"
    if anchor and named.endswith(".md") and anchor not in anchors(root / named):
        return "no such heading"
    return None


@functools.cache
def tracked_paths(root: Path) -> frozenset[str]:
    """Return the tracked files and the folders that hold them."""
    files = tracked_files(root)
    return frozenset(files).union(str(up) for file in files for up in PurePosixPath(file).parents)


@functools.cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a Markdown file: its headings as GitHub spells them, and HTML ids."""
    found: set[str] = set()
    for _, line in prose(path, code=True):
        found.update(HTML_ANCHOR.findall(line))
        if heading := HEADING.match(line):
            anchor, repeats = slug(heading[1]), 0
            while anchor in found:
                repeats += 1
                anchor = f"{slug(heading[1])}-{repeats}"
            found.add(anchor)
    return frozenset(found)


def slug(heading: str) -> str:
    """Return a heading's anchor.

    >>> slug("What `run` does, and *why*"), slug("[Linked](x.md) snake_case")
    ('what-run-does-and-why', 'linked-snake_case')
    """
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-")


def prose(path: Path, *, code: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines outside code blocks, inline code blanked unless `code`."""
    fence = ""
    for number, line in enumerate((read_text(path) or "").splitlines(), start=1):
        mark = FENCE.match(line)
        if fence:
            if mark and mark["mark"].startswith(fence) and line.strip() == mark["mark"]:
                fence = ""
        elif mark:
            fence = mark["mark"]
        else:
            yield number, line if code else CODE.sub("", line)


def main() -> int:
    """Check the tracked Markdown files of the current folder; return the exit status."""
    return run_gate("links", lambda file: file.endswith(".md"), examine)


if __name__ == "__main__":
    sys.exit(main())
