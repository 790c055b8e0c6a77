"""The gates can fail: each is given a repository with something planted in it."""

from __future__ import annotations

import os
import random
import string
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import scan_secrets
from tools.check_links import slug

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]


def gate(
    module: str, folder: Path, files: Mapping[str, str | bytes], untracked: str = ""
) -> tuple[int, list[str]]:
    """Run a gate over a repository of these files; return its exit status and its lines."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True, timeout=30)
    subprocess.run(["git", "add", "."], cwd=folder, check=True, timeout=30)
    if untracked:
        (folder / untracked).write_text("# There, but not in a clone\n")
    ended = subprocess.run(
        [sys.executable, "-m", f"tools.{module}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()


# Assembled here, so that this file passes the gate itself.
PLANTED = {
    "a live Stripe key": "rk_" + "live_0123456789",
    "a Stripe test key of a real account": "sk_" + "test_51" + "Ab3" * 12,
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "an AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a Slack token": "xoxb-" + "12345678901-abc",
    "a Slack webhook": "https://hooks.slack" + ".com/services/T0000000/B0000000/abcdefghij",
    "a path of somebody's machine": 'folder = "/ho' + 'me/somebody/project"',
    "a package registry's host": "https://py" + "pi.org/simple",
    "a webhook secret": "whsec_" + "tG7kPq2ZxVb9LmN4RsWc8YdF",
    "a card number": "card: 4539 " + "1488 0343 6467.",
}


def test_each_kind_of_secret_is_found_where_it_stands(tmp_path: Path) -> None:
    """Every planted secret is reported by file and line, and none is repeated in the report."""
    lines = [line for secret in PLANTED.values() for line in ("harmless", secret)]
    status, told = gate("scan_secrets", tmp_path, {"src/a.py": "\n".join(lines)})
    assert status == 1
    assert told == [
        *(
            f"src/a.py:{2 * number}: {what}: remove it, or say why with scan: allow(…)"
            for number, what in enumerate(PLANTED, start=1)
        ),
        f"secrets: 1 files, {len(PLANTED)} findings",
    ]


def test_what_only_resembles_a_secret_passes(tmp_path: Path) -> None:
    """Prefixes, short fixtures, Stripe's test cards, other long numbers and binaries are fine."""
    harmless = [
        'if key.startswith(("sk_live_", "rk_live_")):',
        "whsec_test whsec_aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "4242 4242 4242 4242, 4000002500003155, 378282246310005",
        "4539148803436468 is wrong by one; 0.4539148803436467; x4539148803436467",
        "https://example.com/home/page and ./root/of and the /work of others",
    ]
    files: dict[str, str | bytes] = {"a.md": "\n".join(harmless)}
    files |= {"b.bin": b"\0" + PLANTED["an AWS access key"].encode()}
    assert gate("scan_secrets", tmp_path, files) == (0, ["secrets: 2 files, 0 findings"])


def test_a_secret_is_allowed_only_with_a_reason(tmp_path: Path) -> None:
    """An allowance counts for its own line, and only when it says why."""
    key = PLANTED["a live Stripe key"]
    text = f"{key}  # scan: allow(made up)\n{key}  # scan: allow()\n{key}\n"
    status, told = gate("scan_secrets", tmp_path, {"a.py": text})
    assert status == 1
    assert [line.split(": ")[0] for line in told[:-1]] == ["a.py:2", "a.py:3"]


@pytest.mark.parametrize("module", ["scan_secrets", "check_links"])
def test_a_gate_that_sees_nothing_fails(module: str, tmp_path: Path) -> None:
    """No files looked at means nothing proven: exit status 1, not a green light."""
    assert gate(module, tmp_path, {})[0] == 1


@given(st.integers(0, 10**14 - 1), st.integers(0, 13), st.integers(1, 9))
def test_every_single_wrong_digit_is_noticed(body: int, place: int, change: int) -> None:
    """For any number, exactly one check digit passes, and no single changed digit does."""
    digits = f"{body:014d}"
    passing = [check for check in string.digits if scan_secrets.passes_luhn(digits + check)]
    assert len(passing) == 1
    changed = (int(digits[place]) + change) % 10
    altered = f"{digits[:place]}{changed}{digits[place + 1 :]}"
    assert not scan_secrets.passes_luhn(altered + passing[0])


def test_random_secrets_have_more_entropy_than_words() -> None:
    """The bar for a webhook secret lies between what a generator makes and what a person types."""
    dice = random.Random(7)  # noqa: S311 - a fixed sample
    letters = string.ascii_letters + string.digits
    samples = ["".join(dice.choices(letters, k=32)) for _ in range(500)]
    assert min(map(scan_secrets.entropy_bits, samples)) > scan_secrets.ENTROPY_BITS_MIN
    typed = ["testtesttesttest", "0000000000000000", "secretsecretsecret", "wrongwrongwrongwrong"]
    assert max(map(scan_secrets.entropy_bits, typed)) < scan_secrets.ENTROPY_BITS_MIN


GOOD = """
# Title of `it`
## Again
## Again
<a id="by-hand"></a>
[own](#title-of-it) [second](#again-1) [html](#by-hand) [up](../README.md#readme) [folder](../src)
[root](/src/a.py?plain=1) [web](https://example.com/x) [mail](mailto:a@example.com)
[space](<a b.md> "title") [encoded](a%20b.md) ![image](pic_(1).png) [ref]
`[code](nowhere.md)` ``[code](`nowhere.md)``

[ref]: a%20b.md
```text
[fenced](nowhere.md)
# Not a heading
```
"""

FILES: dict[str, str | bytes] = {
    "README.md": "# Readme\n",
    "docs/good.md": GOOD,
    "docs/a b.md": "text\n",
    "docs/pic_(1).png": b"\0",
    "src/a.py": "x = 1\n",
}

DEAD = {
    "[file](nowhere.md)": "'nowhere.md' leads nowhere: no such tracked file",
    "![image](nowhere.png)": "'nowhere.png' leads nowhere: no such tracked file",
    "[ref]: ../nowhere.md": "'../nowhere.md' leads nowhere: no such tracked file",
    '<img src="nowhere.png">': "'nowhere.png' leads nowhere: no such tracked file",
    "[own](#not-there)": "'#not-there' leads nowhere: no such heading",
    "[other](../README.md#not-there)": "'../README.md#not-there' leads nowhere: no such heading",
    "[fenced](good.md#not-a-heading)": "'good.md#not-a-heading' leads nowhere: no such heading",
    "[out](../../x.md)": "'../../x.md' leads nowhere: outside the repository",
    "[local](../untracked.md)": "'../untracked.md' leads nowhere: no such tracked file",
    "[empty]()": "'' leads nowhere: it is empty",
}


def test_links_that_lead_somewhere_pass(tmp_path: Path) -> None:
    """Files, folders, headings, ids, spaces, the root, the web and code are no dead links."""
    assert gate("check_links", tmp_path, FILES) == (0, ["links: 3 files, 0 findings"])


def test_each_kind_of_dead_link_is_found_where_it_stands(tmp_path: Path) -> None:
    """Every planted dead link is reported by file and line with what is wrong about it."""
    files = {**FILES, "docs/bad.md": "\n\n".join(DEAD)}
    status, told = gate("check_links", tmp_path, files, untracked="untracked.md")
    assert status == 1
    assert told == [
        *(f"docs/bad.md:{2 * number + 1}: {what}" for number, what in enumerate(DEAD.values())),
        f"links: 4 files, {len(DEAD)} findings",
    ]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("The stack", "the-stack"),
        ("What `run` does, and *why*?", "what-run-does-and-why"),
        ("Exit codes: 0, 1 & 99", "exit-codes-0-1--99"),
        ("[Linked](x.md) snake_case", "linked-snake_case"),
        ("Über - Größe", "über---größe"),
    ],
)
def test_headings_become_the_anchors_of_github(heading: str, anchor: str) -> None:
    """Punctuation goes, spaces become hyphens one by one, letters of any language stay."""
    assert slug(heading) == anchor
