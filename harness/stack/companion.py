"""A target of somebody else's, started by its own command beside a Stripe simulator.

The order is the reference stack's: the simulator starts, the webhook endpoint is made for the
address that the target will have, and the command starts with that endpoint's secret.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import TargetError
from harness.stack.command import start_command
from harness.stack.folder import stack_folder
from harness.stack.mailbox import MAIL_FOLDER, mailbox
from harness.stack.ports import reserve, url_of
from harness.stack.process import Child
from harness.stack.webhook import make_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.stack.process import DeadChild
    from harness.target.profile import Profile
    from harness.target.reader import ProfileFile

_DEADLINE_S = 30.0


class Companion:
    """The processes of a running target and its simulator.

    `variables` are for its profile: what the harness made, and what the target was started with.
    """

    def __init__(self, variables: dict[str, str], children: list[Child]) -> None:
        self.variables = variables
        self._children = children

    def dead(self) -> list[DeadChild]:
        """Give the processes that ended though they should run."""
        return [dead for child in self._children if (dead := child.dead())]


@contextlib.contextmanager
def companion(file: ProfileFile, environment: dict[str, str], seed: int) -> Iterator[Companion]:
    """Start what a profile's `[target] start` asks for; nothing of it is left afterwards.

    Raises `StackError` where something does not start, `ProfileError` for unset variables.
    """
    with contextlib.ExitStack() as undo:
        folder = undo.enter_context(stack_folder(None, keep=False))
        port = _free_port()
        variables = {"PORT": str(port), "STACK_LOG_DIR": str(folder)}
        variables |= _mail(undo.enter_context(mailbox(folder / MAIL_FOLDER)), folder)
        simulator, stripe = simulator_process(folder, seed)
        undo.callback(simulator.stop)
        simulator.wait_ready(f"{stripe}/simulator/ready", _DEADLINE_S)
        keys = {
            "STACK_STRIPE_URL": stripe,
            "STACK_STRIPE_API_KEY": f"sk_test_{secrets.token_hex(24)}",
            "STACK_OPERATOR_KEY": f"op_test_{secrets.token_hex(24)}",
            "STACK_WEBHOOK_SECRET": "",
        }
        variables |= keys
        # The address is known before the secret is: the endpoint needs the one to give the other.
        profile, _ = file.resolve({**environment, **variables})
        if profile.webhooks:
            url = profile.target.base_url.rstrip("/") + profile.webhooks.path
            variables["STACK_WEBHOOK_SECRET"] = make_endpoint(
                stripe, keys["STACK_STRIPE_API_KEY"], url, profile.webhooks.events
            )
        profile, _ = file.resolve({**environment, **variables})
        target = _target(profile, {**environment, **variables}, folder)
        undo.callback(target.stop)
        given = profile.target.start.env if profile.target.start else {}
        yield Companion({**given, **variables}, [simulator, target])


def _mail(port: int, folder: Path) -> dict[str, str]:
    """Give where the target may send its letters, and where they are kept."""
    return {"STACK_SMTP_PORT": str(port), "STACK_MAIL_DIR": str(folder / MAIL_FOLDER)}


def simulator_process(folder: Path, seed: int) -> tuple[Child, str]:
    """Start a Stripe simulator that logs to the folder; give it with its address."""
    listener = reserve(0, "the Stripe simulator")
    with listener:
        argv = [sys.executable, "-P", "-m", "simulators.stripe", "serve"]
        argv += ["--fd", str(listener.fileno()), "--seed", str(seed)]
        child = Child(
            "stripe",
            argv,
            env=dict(os.environ),
            log=folder / "stripe.log",
            pass_fds=(listener.fileno(),),
        )
        return child, url_of(listener)


def _target(profile: Profile, environment: dict[str, str], folder: Path) -> Child:
    start = profile.target.start
    if start is None:
        raise TargetError(f"the profile {profile.target.name} has no start command")
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join([own, environment.get("PATH", os.defpath)])
    return start_command(
        start.command,
        start.ready,
        profile.target.base_url,
        {**environment, "PATH": path, **start.env},
        folder,
        start.deadline_s,
    )


def _free_port() -> int:
    """Find a port for a command that binds it itself; held only until this returns."""
    with reserve(0, "the target") as listener:
        return int(listener.getsockname()[1])
