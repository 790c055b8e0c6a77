from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ProductionRefused, SettingsError
from harness.guard import HOSTS_VARIABLE, Aimed, refuse_production
from harness.transport import Transport
from tests.core.making import answer, profile

if TYPE_CHECKING:
    from pathlib import Path

    from harness.target.wire import Call, Reply

LIVE = "sk_" + "live_of_somebody"
RAILS = "CREATE TABLE ar_internal_metadata AS SELECT 'environment' AS key, 'production' AS value"


def _target(environment: str) -> dict[str, Any]:
    return {"target": {"environment": environment}}


@pytest.mark.parametrize(
    "name", ["production", "prod", "live", "PRODUCTION", "eu-production", "prod_1", "acme.live"]
)
def test_an_environment_that_says_production_is_refused(name: str) -> None:
    """The word in the profile is enough, however it is written and whatever is around it."""
    with pytest.raises(ProductionRefused, match="environment = "):
        refuse_production(Aimed(profile(**_target(name))), {})
    for variable in ("ENVIRONMENT", "APP_ENV"):
        with pytest.raises(ProductionRefused, match=variable):
            refuse_production(Aimed(profile()), {variable: name})


@pytest.mark.parametrize(
    "name", ["test", "staging", "pre-prod", "non-production", "product-team", "delivery", ""]
)
def test_other_environments_are_let_through(name: str) -> None:
    """What only resembles the word, or denies it, is no sign."""
    refuse_production(Aimed(profile(**_target(name))), {"ENVIRONMENT": name, "OTHER": "production"})


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
        refuse_production(Aimed(profile(**sections)), {})
    assert f"{key} holds a live key" in str(caught.value)
    assert "of_somebody" not in str(caught.value)
    assert caught.value.hint


def test_a_live_key_of_the_provider_is_refused() -> None:
    """Whichever variable holds one: the one that the profile names for Stripe's key, or another."""
    named = profile(payment_provider={"stripe_key_env": "STRIPE_KEY"})
    for variable in ("STRIPE_KEY", "OTHER_KEY"):
        with pytest.raises(ProductionRefused, match=variable):
            refuse_production(Aimed(named), {variable: LIVE})
    refuse_production(Aimed(named), {"STRIPE_KEY": "sk_" + "test_x", "NOTE": f"no {LIVE}"})


def test_every_sign_is_told_at_once() -> None:
    """Whoever mends one sign learns of the others in the same breath."""
    with pytest.raises(ProductionRefused) as caught:
        refuse_production(Aimed(profile(**_target("prod"))), {"ENV": "live", "APP_ENV": "prod"})
    assert str(caught.value).count(";") == 2


@pytest.mark.parametrize(
    ("url", "is_production"),
    [
        ("https://billing.prod.acme.com", True),
        ("https://api-live.acme.com:8443/v1", True),
        ("http://billing.production.svc.cluster.local", True),
        ("https://prod1.acme.com", True),
        ("http://billing-prod:8080", True),
        ("http://billing-staging:8080", False),
        ("https://billing.staging.acme.com", False),
        ("https://pre-prod.acme.com", False),
        ("https://products.delivery.acme.live", False),
        ("http://127.0.0.1:8000", False),
        ("${STACK_BILLING_URL}", False),
        ("http://[", False),
    ],
)
def test_a_host_may_tell(url: str, *, is_production: bool) -> None:
    """A label of the host's name that speaks of production is a sign; a domain's end is none."""
    for aimed in (Aimed(profile(target={"base_url": url})), Aimed(url=url)):
        if is_production:
            with pytest.raises(ProductionRefused, match="name of production"):
                refuse_production(aimed, {})
        else:
            refuse_production(aimed, {})


def test_hosts_are_listed_where_their_names_do_not_tell() -> None:
    """By the profile, or for everybody by a variable; patterns are those of a shell."""
    listed = profile(target={"base_url": "https://pay.acme.com", "production_hosts": ["pay.*"]})
    with pytest.raises(ProductionRefused, match="production_hosts of its profile"):
        refuse_production(Aimed(listed), {})
    with pytest.raises(ProductionRefused, match=HOSTS_VARIABLE):
        refuse_production(Aimed(url="https://Pay.acme.com"), {HOSTS_VARIABLE: "x.com, *.ACME.com"})
    refuse_production(Aimed(url="https://pay.acme.dev"), {HOSTS_VARIABLE: "*.acme.com,"})


@pytest.mark.parametrize(
    ("url", "is_production"),
    [
        ("postgresql+psycopg://me@db.prod.acme.com/billing", True),
        ("postgresql://me@db.acme.com/billing_production", True),
        ("postgresql://me@db.acme.com/billing_staging", False),
        ("sqlite:////srv/production/billing.db", False),
    ],
)
def test_a_database_s_address_may_tell(url: str, *, is_production: bool) -> None:
    """The server's name and the database's are looked at; a file's folder says nothing."""
    named = profile(evidence={"database_url_env": "DATABASE"})
    for aimed, variables in ((Aimed(named), {"DATABASE": url}), (Aimed(database_url=url), {})):
        if is_production:
            with pytest.raises(ProductionRefused, match="name of production"):
                refuse_production(aimed, variables)
        else:
            refuse_production(aimed, variables)


@pytest.mark.parametrize(
    "told",
    [{"body": {"environment": "Production"}}, {"body": {"env": "live"}}, {"x_environment": "prod"}],
)
def test_the_target_s_own_word_counts(monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    """Asked by nothing but GET, it says where it is: in the answer, or in a header."""
    sent: list[Call] = []

    def send(_: Transport, call: Call) -> Reply:
        sent.append(call)
        return answer(200, **told) if call.path == "/ready" else answer(404, {"status": "?"})

    monkeypatch.setattr(Transport, "send", send)
    refuse_production(Aimed(profile()), {})
    assert sent == []
    with pytest.raises(ProductionRefused, match="the target itself says"):
        refuse_production(Aimed(profile()), {}, ask=True)
    assert [(call.method, call.path) for call in sent] == [("GET", "/health"), ("GET", "/ready")]
    with pytest.raises(ProductionRefused):
        refuse_production(Aimed(profile(target={"says_environment": "/ready"})), {}, ask=True)
    assert [call.path for call in sent[2:]] == ["/ready"]


@pytest.mark.parametrize(
    ("made", "query"),
    [
        ("CREATE TABLE deployment AS SELECT 'production' AS environment", None),
        (RAILS, None),
        ("CREATE TABLE about AS SELECT 'live' AS place", "SELECT place FROM about"),
    ],
    ids=["reference", "rails", "own"],
)
def test_a_database_s_marker_counts(tmp_path: Path, made: str, query: str | None) -> None:
    """A row that says production is a sign; a database that is absent or empty has none."""
    file = tmp_path / "billing.db"
    says = {"database_url_env": "DATABASE", "database_marker": query}
    aimed = Aimed(profile(evidence=says, target={"base_url": "http://127.0.0.1:1"}))
    variables = {"DATABASE": f"sqlite:///{file}"}
    refuse_production(aimed, variables, ask=True)
    assert not file.exists()
    with closing(sqlite3.connect(file)) as connection:
        refuse_production(aimed, variables, ask=True)
        connection.execute(made)
        connection.commit()
    with pytest.raises(ProductionRefused, match="its database says"):
        refuse_production(aimed, variables, ask=True)


def test_production_is_allowed_by_its_very_name_alone() -> None:
    """Whoever names another host than the target's is refused, and told which it is."""
    live = profile(target={"base_url": "https://pay.acme.com", "environment": "production"})
    refuse_production(Aimed(live, allowed_host="Pay.acme.com"), {"ENV": "production"})
    with pytest.raises(SettingsError, match=r"the target is pay\.acme\.com"):
        refuse_production(Aimed(live, allowed_host="pay.acme.dev"), {})
