"""The commands against the reference billing service, through its real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.billing.running import (
    WEBHOOK_SECRET,
    Service,
    running_service,
    running_simulator,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.webhooks.conftest import Ran

    Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a running billing service, with a Stripe that it may ask."""
    folder = tmp_path_factory.mktemp("webhooks")
    with running_simulator(folder) as simulator, running_service(folder, simulator) as found:
        yield found


def test_the_reference_service_takes_every_event_once(run: Run, service: Service) -> None:
    """A whole life is accepted; the same event again is known as a duplicate."""
    signed = {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    to = f"{service.url}/api/webhooks/stripe"
    assert run("send-all", "--to", to, **signed).status == 0
    twice = run("send", "invoice.paid", "--times", 2, "--to", to, "--json", **signed).json
    assert [each["answer"] for each in twice["deliveries"]] == [
        '{"received":true,"duplicate":false}',
        '{"received":true,"duplicate":true}',
    ]
    storm = run("storm", "--rate", 40, "--duration", 0.5, "--to", to, "--json", **signed)
    assert (storm.status, storm.json["counts"]["accepted"]) == (0, 20)


@pytest.mark.parametrize(
    "options", [["--tamper"], ["--forge", "non-ascii"], ["--forge", "only-v0"]]
)
def test_the_reference_service_refuses_forgeries(
    run: Run, service: Service, options: list[str]
) -> None:
    """What is not signed rightly is refused, by 400."""
    to = f"{service.url}/api/webhooks/stripe"
    ran = run(
        *("send", "invoice.paid", *options, "--to", to, "--json"),
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
    )
    assert (ran.status, ran.json["deliveries"][0]["status"]) == (0, 400)
