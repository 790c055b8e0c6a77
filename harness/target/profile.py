"""A profile: names and facts of a billing API, as TOML.

How a billing API must *behave* is never in a profile. `harness.target.reader` reads one and tells
every mistake at once; `docs/PROFILE.md` explains each key to the person who writes one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from harness.money import MoneyForm

if TYPE_CHECKING:
    from harness.target.protocol import Role

PlanRole = Literal["trial", "payg", "pro"]
LetterKind = Literal["welcome", "payment_failed"]


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"a JMESPath expression ({reason})") from None
    return text


def _source(text: str) -> str:
    if not text.startswith("header:"):
        return _expression(text)
    pattern = re.search(r"\|\s*/(.*)/$", text)
    if pattern and _groups(pattern[1]) != 1:
        raise ValueError("a pattern after `|` with exactly one group")
    return text


def _groups(pattern: str) -> int | None:
    try:
        return re.compile(pattern).groups
    except re.error:
        return None


def _path(text: str) -> str:
    if not re.fullmatch(r"/\S*", text):
        raise ValueError('a path, like "/webhooks/stripe"')
    return text


def _series(text: str) -> str:
    if not re.fullmatch(r'[a-zA-Z_:][\w:]*(\{(\w+="[^"]*",? ?)*\})?', text):
        raise ValueError('a series, like "payments_total{status=\\"failed\\"}"')
    return text


def is_request(text: str) -> bool:
    """Whether a text is a method and a path."""
    return re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) /\S*", text) is not None


def _request(text: str) -> str:
    if not is_request(text):
        raise ValueError('a method and a path, like "POST /v1/customers/{customer}"')
    return text


Expression = Annotated[str, AfterValidator(_expression)]
Source = Annotated[str, AfterValidator(_source)]
Request = Annotated[str, AfterValidator(_request)]
Path = Annotated[str, AfterValidator(_path)]
Series = Annotated[str, AfterValidator(_series)]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Status = Annotated[int, Field(ge=100, le=599)]


class Section(BaseModel):
    """A part of a profile: unknown keys are mistakes, values are never coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Start(Section):
    """How the harness starts the target itself: a command, and the path that answers 200."""

    command: str
    ready: Path = "/ready"
    env: dict[str, str] = {}
    deadline_s: PositiveFloat = 30.0


class TargetSection(Section):
    """Where the target is and how it writes.

    `stack = "reference"` has the harness start the reference service; `start` a command of the
    owner's; neither means that it runs already. `refusal_code` finds the stable code in an error.
    `says_environment` is a path whose answer names the environment, and `production_hosts` are
    patterns of hosts (`billing.acme.com`, `*.acme.com`): the production guard looks at both.
    """

    name: str
    base_url: str
    environment: str
    stack: Literal["reference"] | None = None
    start: Start | None = None
    encoding: Literal["json", "form"] = "json"
    headers: dict[str, str] = {}
    idempotency_header: str | None = None
    refusal_code: Expression | None = None
    says_environment: Path | None = None
    production_hosts: list[str] = []
    timeout_s: PositiveFloat = 10.0


class Basic(Section):
    """HTTP Basic authentication (RFC 7617)."""

    user: str
    password: str


class Auth(Section):
    """How one role identifies itself; `{credential}` stands for the customer's own."""

    headers: dict[str, str] = {}
    basic: Basic | None = None


class Refusal(Section):
    """A reply that means *it did not happen*: by status, by a condition on the body, or both.

    A 5xx is a refusal only where both are said.
    """

    code: str
    status: Status | None = None
    body: Expression | None = None


class Settle(Section):
    """How an accepted operation is followed until it is known.

    `poll` is an operation, or a request with a `reply` of its own; `until` and `refused` are
    conditions over the mapped outputs.
    """

    poll: str
    until: Expression
    refused: Expression | None = None
    code: Expression | None = None
    reply: dict[str, Source] = {}
    deadline_s: PositiveFloat = 20.0


class Page(Section):
    """How a list goes on to its next page."""

    style: Literal["page", "offset", "cursor", "link"]
    param: str = "page"
    size_param: str | None = None
    size: PositiveInt = 100
    start: int = 1
    next: Expression | None = None
    total: Expression | None = None
    more: Expression | None = None


class Items(Section):
    """Where a list's items are and how each one maps.

    `parameters` are what the list may be sorted and filtered by, each with a value that it takes.
    """

    path: Expression
    parameters: dict[str, str] = {}
    reply: dict[str, Source]
    values: dict[str, dict[str, str]] = {}
    page: Page | None = None


class Mapping(Section):
    """How one operation is done on this target."""

    request: Request
    role: str | None = Field(default=None, alias="as")
    query: dict[str, Any] = {}
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None
    defaults: dict[str, Any] = {}
    words: dict[str, dict[str, str]] = {}
    reply: dict[str, Source] = {}
    values: dict[str, dict[str, str]] = {}
    items: Items | None = None
    ok: list[Status] = []
    accepted: list[Status] = []
    refused: list[Refusal] = []
    settle: Settle | None = None


class Plan(Section):
    """A plan's price, what it includes, and the part that it plays in the stories.

    Amounts are in minor units of the catalogue's currency, also where the target writes decimals.
    `overage_minor` is the price of one unit beyond those at hand; None: more is refused.
    """

    role: PlanRole | None = None
    price_minor: Annotated[int, Field(ge=0)] = 0
    included_units: Annotated[int, Field(ge=0)] = 0
    overage_minor: Annotated[int, Field(gt=0)] | None = None
    rollover_cap: Annotated[int, Field(ge=0)] | None = None


class Grants(Section):
    """Units given away: at sign-up, and with the first payment method."""

    sign_up: Annotated[int, Field(ge=0)] = 0
    billing_added: Annotated[int, Field(ge=0)] = 0


class Catalog(Section):
    """Facts of the product, from which every expected amount is computed.

    `usage_billed` says when usage beyond the units at hand is paid for: each by a charge of its
    own, or all of a period's together, on the invoice that begins the next.
    """

    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$")]
    money: MoneyForm = "minor"
    grants: Grants = Grants()
    low_credit_threshold: Annotated[int, Field(ge=0)] | None = None
    usage_billed: Literal["at_once", "with_invoice"] = "at_once"
    consent_required: bool = False
    plans: dict[str, Plan] = {}

    def plan(self, role: PlanRole) -> tuple[str, Plan] | None:
        """Give the name and facts of the plan that plays a part; its own name may be the part."""
        for name, plan in self.plans.items():
            if (plan.role or name) == role:
                return name, plan
        return None


class Webhooks(Section):
    """Where the target receives Stripe's events, and which its endpoint at Stripe asks for."""

    path: Path
    secret_env: str
    previous_secret_env: str | None = None  # of a second one that is good while it is rolled
    events: Annotated[list[str], Field(min_length=1)] = ["*"]
    accepted_status: list[Status] = []
    refused_status: list[Status] = [400, 401, 403]
    catches_up_hours: PositiveFloat | None = None  # it finds there what was never delivered


class PaymentProvider(Section):
    """Where money truth is read: the simulator's journal, or Stripe's test mode."""

    simulator: str | None = None
    stripe_key_env: str | None = None


class Clock(Section):
    """Whose clock can be advanced: the target's and the provider's together."""

    kind: Literal["target", "stripe"] = "target"


class Metrics(Section):
    """Where the target shows its metrics, and which of its series tell what.

    A series is written as Prometheus does: `name`, or `name{label="value"}`; the samples that it
    selects are added up. What stands here by default are the names of `harness.metrics`, which a
    target may adopt. `revenue` and `revenue_day` are minor units, charges less what went back in
    the latter; `double_charges` counts what was charged beyond the first for one usage.
    """

    url: str
    headers: dict[str, str] = {}
    usage: Series = "billing_usage_fixes_total"
    failures: Series = "billing_payment_failures_total"
    failures_unexplained: Series = 'billing_payment_failures_total{failure_code="unknown"}'
    events_failed: Series = 'billing_webhook_events_total{result="failed"}'
    requests: Series = "billing_request_duration_seconds_count"
    revenue: Series = "billing_revenue_cents_total"
    revenue_day: Series = "billing_revenue_24h_cents"
    double_charges: Series = "billing_duplicate_charges"


class Evidence(Section):
    """What lets more checks run; all optional.

    `mail_files` are the letters that the target sends, a file each. `letters` tells, for each kind
    that a story speaks of, words of the subject by which it is known. `database_marker` is a query
    whose first value names the environment that the database belongs to.
    """

    log_files: list[str] = []
    mail_files: list[str] = []
    letters: dict[LetterKind, str] = {}
    database_url_env: str | None = None
    database_marker: str | None = None
    metrics: Metrics | None = None


class MetricNames(Section):
    """What the target calls the metrics and labels of `harness.metrics`, by our names.

    Dashboards, rules and checks then speak its names; what is not named is called as by us.
    """

    names: dict[str, Name] = {}
    labels: dict[str, Name] = {}


class Contract(Section):
    """What the target promises to its clients: its OpenAPI document, and how it is tried.

    `openapi` is a path on the target, an address, or a file. `exclude` names what is never tried,
    as `METHOD /path` with wildcards; `roles` gives the role of [auth] that sends such requests, for
    what is not done as a customer and is no operation of the harness. `expected` are the statuses
    with which a request that keeps to the document may yet be refused; `malformed` says of an
    error's body that the request did not keep to it. `examples` is how many random requests each
    operation gets.
    """

    openapi: str
    exclude: list[str] = []
    roles: dict[str, str] = {}
    expected: list[Status] = [402, 403, 404, 409]
    malformed: Expression | None = None
    examples: Annotated[int, Field(ge=1, le=10_000)] = 5


class Exposure(Section):
    """What anybody may read without a key; all else is for those who have one."""

    public: list[Path] = []


class Audit(Section):
    """How `billing-harness audit` reads production; nothing here is ever written to.

    `payments`, `customers`, `ledger` and `balances` are SQL with columns named as `docs/AUDIT.md`
    says; `tables = "reference"` stands for those of the reference's own schema. `customer` finds
    the target's id of a customer in Stripe's object of him; `marks` are keys of the metadata that
    the target puts on what it makes at Stripe.
    """

    stripe_key_env: str | None = None
    database_url_env: str | None = None
    tables: Literal["reference"] | None = None
    payments: str | None = None
    customers: str | None = None
    ledger: str | None = None
    balances: str | None = None
    customer: Expression = "metadata.customer_id"
    marks: list[str] = []


class Staging(Section):
    """How a staging's customers of the test domains are listed, `customer` and `email` of each."""

    customers: Mapping | None = None


class Profile(Section):
    """A whole profile."""

    target: TargetSection
    auth: dict[str, Auth] = {}
    operations: dict[str, Mapping] = {}
    catalog: Catalog
    limits: dict[str, int] = {}
    webhooks: Webhooks | None = None
    payment_provider: PaymentProvider | None = None
    clock: Clock | None = None
    evidence: Evidence = Evidence()
    metrics: MetricNames = MetricNames()
    exposure: Exposure = Exposure()
    contract: Contract | None = None
    audit: Audit = Audit()
    staging: Staging = Staging()
    settle_deadline_s: PositiveFloat = 10.0

    def auth_role(self, fixed: str | None, asked: Role) -> str | None:
        """Give the `[auth]` section for a call, or None where nobody identifies himself.

        An operation is done as its profile says, unless a test asks for somebody else.
        """
        name = (fixed or "customer") if asked == "customer" else asked
        if name == "anonymous":
            return None
        return name if name in self.auth else "customer"
