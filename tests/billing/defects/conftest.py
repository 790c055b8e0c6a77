"""Fixtures for direct tests of defects: a story, told to a service without one and with."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest
from fastapi import FastAPI
from sqlalchemy import event

from simulators.billing.clock import MovableClock
from simulators.billing.core import Core
from simulators.billing.domain.plans import Catalogue
from simulators.billing.http import app, documented
from simulators.billing.identifiers import Vault
from simulators.billing.settings import Settings
from simulators.billing.storage.database import Database
from simulators.billing.stripe_gateway.gateway import StripeGateway
from tests.billing.databases import prepare
from tests.billing.defects.shop import open_shop
from tests.billing.running import Simulator, running_simulator, service_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Connection as SqliteConnection

    from tests.billing.defects.shop import Shop

T = TypeVar("T")


class Both(Protocol):
    """Tells a story to a service without defects, then to one with; gives what each showed."""

    def __call__(self, name: str, story: Callable[[Shop], T], **settings: object) -> tuple[T, T]:
        """Name the defect, and settings that differ."""
        ...


@pytest.fixture(scope="session")
def own_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Run a Stripe simulator whose clock these tests move."""
    with running_simulator(tmp_path_factory.mktemp("stripe-of-defects")) as found:
        yield found


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty, migrated SQLite database to copy."""
    path = tmp_path_factory.mktemp("template") / "billing.db"
    prepare(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _document_once() -> Iterator[None]:
    """Describe the API once: it takes most of the time in which an application is made."""
    describe, complete = FastAPI.openapi, documented.complete
    kept: list[dict[str, Any]] = []

    def once(document: dict[str, Any], settings: Settings) -> dict[str, Any]:
        if not kept:
            kept.append(complete(document, settings))
        return kept[0]

    def openapi(self: FastAPI) -> dict[str, Any]:
        # other applications of this process have a document of their own
        is_kept = kept and kept[0]["info"]["title"] == self.title
        return kept[0] if is_kept else describe(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FastAPI, "openapi", openapi)
        patched.setattr(app, "complete", once)
        yield


def _unsynced(connection: SqliteConnection, _: object) -> None:
    """Wait for no disk: no power failure is tested here."""
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture
def new_core(
    tmp_path: Path, template: Path, own_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Core]]:
    """Make services, each on a database of its own."""
    made: list[Database] = []
    for name, value in service_environment(tmp_path, own_simulator.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BILLING_FAILPOINT_FOLDER", str(tmp_path))

    def make(**settings: object) -> Core:
        path = tmp_path / f"billing-{len(made)}.db"
        shutil.copy(template, path)
        monkeypatch.setenv("BILLING_DATABASE_URL", f"sqlite:///{path}")
        found = Settings().model_copy(update=settings)
        database = Database(found.database_url)
        event.listen(database.engine.pool, "connect", _unsynced)
        made.append(database)
        return Core(
            settings=found,
            catalogue=Catalogue.of(found),
            database=database,
            clock=MovableClock(database),
            stripe=StripeGateway(found),
            vault=Vault(found.key_hmac_secret),
        )

    yield make
    for database in made:
        database.dispose()


@pytest.fixture
def both(new_core: Callable[..., Core], own_simulator: Simulator, _document_once: None) -> Both:
    """Tell a story twice."""

    def tell(name: str, story: Callable[[Shop], T], **settings: object) -> tuple[T, T]:
        with open_shop(new_core(**settings), own_simulator) as clean:
            genuine = story(clean)
        with open_shop(new_core(**settings), own_simulator, name) as broken:
            mistaken = story(broken)
        return genuine, mistaken

    return tell
