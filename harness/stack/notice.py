"""A notice of each stack that `billing-harness up` keeps running, so that other commands find it.

It holds the stack's keys, which were made for it and open nothing else; only its owner can read it,
and it is gone when the stack is.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.staging.record import state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.stack.addresses import Addresses

_ADDRESS, _SECRET = "STACK_BILLING_URL", "STACK_OPERATOR_KEY"


@contextlib.contextmanager
def posted(addresses: Addresses) -> Iterator[None]:
    """Post a notice inside; a machine that keeps no such folder runs the stack all the same."""
    file = state_folder() / "stacks" / f"{os.getpid()}.json"
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as held:  # noqa: PTH123 - a descriptor
            json.dump(addresses.environment(), held)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def running_stack() -> dict[str, str]:
    """Give the variables of the one stack that is up. Raises `StackError` for none or several."""
    found = list(_notices())
    if not found:
        raise StackError(
            "no reference service is up on this machine",
            hint="Start one in another shell: billing-harness up. Or set STACK_BILLING_URL and the"
            " other variables of fixtures/profiles/reference.toml.",
        )
    if len(found) > 1:
        raise StackError(
            f"{len(found)} stacks are up: "
            + ", ".join(sorted(each["STACK_BILLING_URL"] for each in found)),
            hint="Stop all but one, or say which by setting STACK_BILLING_URL to its address.",
        )
    return found[0]


def lacking(environment: Mapping[str, str]) -> dict[str, str]:
    """Give what an environment lacks of the reference's variables: those of a stack that is up.

    `STACK_BILLING_URL` says which. Raises `StackError` where none is at that address and the
    environment does not say the rest itself.
    """
    url = environment.get(_ADDRESS)
    if url is None:
        found = running_stack()
    else:
        up = {each[_ADDRESS]: each for each in _notices()}
        found = up.get(url.rstrip("/"), {})
        if not found and _SECRET not in environment:
            there = f"Up here: {', '.join(sorted(up))}." if up else "None is up on this machine."
            raise StackError(
                f"no stack that `billing-harness up` keeps running is at {_ADDRESS}={url}",
                hint=f"{there} Or set the other variables of fixtures/profiles/reference.toml.",
            )
    return {name: told for name, told in found.items() if name not in environment}


def _notices() -> Iterator[dict[str, str]]:
    """Give what was posted by processes that live, and clear away what others left."""
    for file in sorted((state_folder() / "stacks").glob("*.json")):
        try:
            os.kill(int(file.stem), 0)
            yield json.loads(file.read_text("utf-8"))
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (OSError, ValueError):  # somebody else's process, or no notice of ours
            continue
