"""Prometheus, Pushgateway and Alertmanager beside a running stack, as Debian packages them.

Each is on the stack's leash, on a free loopback port, with its data in a folder of the stack. What
Prometheus evaluates are the rules that `dashboards build` writes at this moment. Alertmanager tells
nobody: its page shows what fires.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.errors import SettingsError, StackError
from harness.stack.ports import LOOPBACK, reserve
from harness.stack.process import Child

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.stack.addresses import Addresses
    from harness.stack.process import DeadChild

DEADLINE_S = 60.0
SCRAPE_S = 2


@dataclass(frozen=True, slots=True)
class Program:
    """A program: the names that it goes by, and Debian's package of it."""

    names: tuple[str, ...]
    package: str


PROGRAMS: Mapping[str, Program] = MappingProxyType(
    {
        "prometheus": Program(("prometheus",), "prometheus"),
        "pushgateway": Program(("prometheus-pushgateway", "pushgateway"), "prometheus-pushgateway"),
        "alertmanager": Program(
            ("prometheus-alertmanager", "alertmanager"), "prometheus-alertmanager"
        ),
    }
)
"""What can run beside a stack, by the name that `up --with` takes."""


def read_names(words: str) -> tuple[str, ...]:
    """Read `prometheus,pushgateway`. Raises `SettingsError`, or `StackError` for one not there."""
    names = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    if odd := sorted(set(names) - set(PROGRAMS)):
        raise SettingsError(
            f"there is no {odd[0]!r} to start", hint=f"Known: {', '.join(PROGRAMS)}."
        )
    for name in names:
        _program(name)
    return tuple(name for name in PROGRAMS if name in names)


def _program(name: str) -> str:
    program = PROGRAMS[name]
    found = next((path for each in program.names if (path := shutil.which(each))), None)
    if found is None:
        raise StackError(
            f"{program.names[0]} is not on the PATH",
            hint=f"Install it: apt-get install {program.package}",
        )
    return found


class Observers:
    """The programs that run, by their name: where each answers, and which of them died."""

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self.children: list[Child] = []

    def dead(self) -> list[DeadChild]:
        """Give the processes that ended though they should run."""
        return [dead for child in self.children if (dead := child.dead())]


@contextlib.contextmanager
def observers(names: Sequence[str], where: Addresses) -> Iterator[Observers]:
    """Start programs beside a stack that runs, and stop them; raises `StackError`."""
    folder = Path(where.folder) / "observers"
    folder.mkdir(exist_ok=True)
    found = Observers()
    found.urls = {name: f"http://{LOOPBACK}:{_free_port(name)}" for name in names}
    with contextlib.ExitStack() as undo:
        if "prometheus" in names:
            _write_rules(folder)
            _write(folder / "prometheus.yml", _scraping(where, found.urls, folder))
        if "alertmanager" in names:
            silent = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
            _write(folder / "alertmanager.yml", silent)
        for name, url in found.urls.items():
            argv = [_program(name), *_options(name, url, folder)]
            child = Child(name, argv, env=dict(os.environ), log=folder / f"{name}.log")
            undo.callback(child.stop)
            found.children.append(child)
        for child in found.children:
            child.wait_ready(f"{found.urls[child.name]}/-/ready", DEADLINE_S)
        yield found


def _options(name: str, url: str, folder: Path) -> list[str]:
    """Give a program's options; none of them is a secret."""
    listen = f"--web.listen-address={urlsplit(url).netloc}"
    return {
        "prometheus": [
            listen,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--log.level=warn",
        ],
        "pushgateway": [listen, "--log.level=warn"],
        "alertmanager": [
            listen,
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ],
    }[name]


def _scraping(where: Addresses, urls: Mapping[str, str], folder: Path) -> dict[str, object]:
    """Give Prometheus' configuration; the token stands in a file that only its owner reads."""
    token = folder / "metrics_token"
    token.touch(mode=0o600)
    token.write_text(where.metrics_token, encoding="ascii")
    jobs: list[dict[str, object]] = [
        {
            "job_name": "billing",
            "authorization": {"credentials_file": str(token)},
            "static_configs": [{"targets": [urlsplit(where.billing_url).netloc]}],
        }
    ]
    found: dict[str, object] = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(folder / "rules" / "*_rules.yml")],
        "scrape_configs": jobs,
    }
    if "pushgateway" in urls:
        targets = [{"targets": [urlsplit(urls["pushgateway"]).netloc]}]
        # What was pushed says itself whose it is.
        jobs.append({"job_name": "pushgateway", "honor_labels": True, "static_configs": targets})
    if "alertmanager" in urls:
        targets = [{"targets": [urlsplit(urls["alertmanager"]).netloc]}]
        found["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
    return found


def _write_rules(folder: Path) -> None:
    """Have the rules written, by a process of its own: `harness` knows nothing of dashboards."""
    argv = [sys.executable, "-P", "-m", "harness.cli", "dashboards", "build"]
    argv += ["--out", str(folder / "rules")]
    log = folder / "rules.log"
    child = Child("dashboards build", argv, env=dict(os.environ), log=log)
    try:
        child.finish(DEADLINE_S)
    finally:
        child.stop()


def _write(path: Path, data: object) -> None:
    """Write a configuration: JSON is YAML, too."""
    path.write_text(json.dumps(data, indent=2), encoding="utf-8")


def _free_port(name: str) -> int:
    """Find a port for a program that binds it itself; held only until this returns."""
    with reserve(0, name) as listener:
        return int(listener.getsockname()[1])
