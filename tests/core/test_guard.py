from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ProductionRefused
from harness.guard import refuse_production
from tests.core.making import profile

LIVE = "sk_" + "live_of_somebody"


def _target(environment: str) -> dict[str, Any]:
    return {"target": {"environment": environment}}


@pytest.mark.parametrize(
    "name", ["production", "prod", "live", "PRODUCTION", "eu-production", "prod_1", "acme.live"]
)
def test_an_environment_that_says_production_is_refused(name: str) -> None:
    """The word in the profile is enough, however it is written and whatever is around it."""
    with pytest.raises(ProductionRefused, match="environment = "):
        refuse_production(profile(**_target(name)), {})
    for variable in ("ENVIRONMENT", "APP_ENV"):
        with pytest.raises(ProductionRefused, match=variable):
            refuse_production(profile(), {variable: name})


@pytest.mark.parametrize(
    "name", ["test", "staging", "pre-prod", "non-production", "product-team", "delivery", ""]
)
def test_other_environments_are_let_through(name: str) -> None:
    """What only resembles the word, or denies it, is no sign."""
    refuse_production(profile(**_target(name)), {"ENVIRONMENT": name, "OTHER": "production"})


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"auth": {"operator": {"headers": {"X": f"Bearer {LIVE}"}}}}, "auth.operator.headers.X"),
        (
            {"auth": {"operator": {"basic": {"user": "rk_" + "live_x", "password": ""}}}},
            "auth.operator.basic.user",
        ),
        ({"target": {"headers": {"X-Key": LIVE}}}, "target.headers.X-Key"),
        ({"target": {"start": {"command": "x", "env": {"K": LIVE}}}}, "target.start.env.K"),
    ],
    ids=["header", "basic", "static", "start"],
)
def test_a_live_key_anywhere_in_the_profile_is_refused(sections: dict[str, Any], key: str) -> None:
    """A live key of Stripe's means production wherever it stands, and is not repeated."""
    with pytest.raises(ProductionRefused) as caught:
        refuse_production(profile(**sections), {})
    assert f"{key} holds a live key" in str(caught.value)
    assert "of_somebody" not in str(caught.value)
    assert caught.value.hint


def test_a_live_key_of_the_provider_is_refused() -> None:
    """The variable that the profile names for Stripe's key is looked at; others are not."""
    named = profile(payment_provider={"stripe_key_env": "STRIPE_KEY"})
    with pytest.raises(ProductionRefused, match="STRIPE_KEY"):
        refuse_production(named, {"STRIPE_KEY": LIVE})
    refuse_production(named, {"STRIPE_KEY": "sk_" + "test_x", "OTHER_KEY": LIVE})


def test_every_sign_is_told_at_once() -> None:
    """Whoever mends one sign learns of the others in the same breath."""
    with pytest.raises(ProductionRefused) as caught:
        refuse_production(profile(**_target("prod")), {"ENV": "live", "APP_ENV": "prod"})
    assert str(caught.value).count(";") == 2
