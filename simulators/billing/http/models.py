"""The shapes of replies, as OpenAPI shows them. README.md explains them one by one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from simulators.billing.http.bodies import Plan


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:billing:problem:no_billing_info"])
    title: str = Field(examples=["Payment Required"])
    status: int = Field(examples=[402])
    detail: str = Field(examples=["No credits are left and no payment method is on file."])
    code: str = Field(examples=["no_billing_info"])
    request_id: str | None = None


class Onboarded(BaseModel):
    """A new customer, with the key that is shown this once."""

    customer_id: str
    stripe_customer_id: str
    api_key: str
    credit_balance: int
    source: str


class KeyMade(BaseModel):
    """A new key, which is shown this once."""

    key_id: str
    api_key: str
    created_at: int


class Credential(BaseModel):
    """A credential for one provider: a JWT, signed with Ed25519."""

    provider: str
    credential: str
    expires_at: int


class Exchanged(BaseModel):
    """Credentials, shown this once."""

    credentials: list[Credential]
    expires_at: int


class KeySet(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[dict[str, str]]


class Refunded(BaseModel):
    """Money that went back, and what is left of the charge and of the credits."""

    refund_id: str
    payment_id: str
    stripe_id: str
    amount_minor: int
    currency: str
    remaining_minor: int
    credit_balance: int
    owed_credits: int
    created_at: int


class KeyView(BaseModel):
    """A live key; `is_current` if this request was made with it."""

    key_id: str
    created_at: int
    is_current: bool


class KeyList(BaseModel):
    """The live keys, oldest first."""

    data: list[KeyView]


class KeyRevoked(BaseModel):
    """A key that opens nothing any more."""

    key_id: str
    revoked: bool


class CustomerView(BaseModel):
    """A customer."""

    customer_id: str
    stripe_customer_id: str
    email: str
    name: str | None
    source: str
    plan: Plan
    status: Literal["active", "past_due", "closed"]
    credit_balance: int
    has_billing: bool
    created_at: int
    closed_at: int | None


class CardView(BaseModel):
    """A payment method on file."""

    payment_method_id: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool
    created_at: int


class CardAdded(CardView):
    """A payment method that was added, and what it brought."""

    credit_balance: int
    credits_granted: int


class CardList(BaseModel):
    """The payment methods on file, newest first."""

    data: list[CardView]


class CardRemoved(BaseModel):
    """A payment method that is gone."""

    payment_method_id: str
    removed: bool


class SubscriptionView(BaseModel):
    """A subscription; `status` is Stripe's."""

    subscription_id: str
    plan: Plan
    quantity: int
    status: str
    current_period_start: int | None
    current_period_end: int | None
    cancel_at_period_end: bool
    ends_at: int | None
    ended_at: int | None


class FixTracked(BaseModel):
    """A fix that was paid for, by a credit or a charge."""

    fix_id: str
    outcome: Literal["credit", "charged"]
    charged_minor: int
    currency: str
    payment_id: str | None
    credit_balance: int
    plan: Plan


class Transaction(BaseModel):
    """An entry of the ledger."""

    id: str
    sequence: int
    amount: int
    balance_after: int
    source: str
    cause: str
    metadata: dict[str, Any]
    created_at: int


class PeriodView(BaseModel):
    """What was used in the current period."""

    start: int
    end: int
    fixes: int
    charged_minor: int
    currency: str


class RequestLimit(BaseModel):
    """The limit of the key that asks; `reset_at` is when one more request is free again."""

    limit: int
    remaining: int
    window_s: int
    reset_at: int


class UsageView(BaseModel):
    """Where a customer stands."""

    customer_id: str
    plan: Plan
    status: str
    credit_balance: int
    owed_credits: int
    period: PeriodView
    monthly_credits: int
    rollover_cap: int
    next_fix_price_minor: int | None
    overage_price_minor: int
    currency: str
    warning: Literal["low_credits", "out_of_credits_no_billing"] | None
    request_limit: RequestLimit
    latest_transactions: list[Transaction]


class PaymentView(BaseModel):
    """A movement of money."""

    id: str
    kind: Literal["charge", "refund", "dispute"]
    amount_minor: int
    currency: str
    cause: str
    stripe_id: str
    payment_intent: str | None
    parent_id: str | None
    plan: str
    state: Literal["succeeded", "partially_refunded", "refunded", "disputed"] | None
    created_at: int


class AttemptView(BaseModel):
    """A fix that was asked for."""

    id: str
    fix_id: str
    attempt: int
    repository: str | None
    outcome: Literal["pending", "credit", "charged", "refused"]
    reason: str | None
    amount_minor: int
    currency: str
    created_at: int


class InvoiceView(BaseModel):
    """An invoice."""

    id: str
    status: str
    billing_reason: str | None
    subscription_id: str | None
    amount_due_minor: int
    amount_paid_minor: int
    currency: str
    credits_granted: int
    period_start: int
    period_end: int
    created_at: int


class _Page(BaseModel):
    """A page, and where the next one starts."""

    has_more: bool
    next_cursor: str | None


class TransactionPage(_Page):
    """A page of the ledger."""

    data: list[Transaction]


class PaymentPage(_Page):
    """A page of payments."""

    data: list[PaymentView]


class AttemptPage(_Page):
    """A page of fix attempts."""

    data: list[AttemptView]


class InvoicePage(_Page):
    """A page of invoices."""

    data: list[InvoiceView]


class Received(BaseModel):
    """An event that is stored."""

    received: bool
    duplicate: bool


class Standing(BaseModel):
    """Whether the service is up, and where."""

    status: Literal["ok", "ready"]
    environment: Literal["development", "test", "staging", "production"]


class Now(BaseModel):
    """The service's time."""

    now: int


class Drained(BaseModel):
    """Whether background work is done."""

    settled: bool
    pending: int


class TestCustomer(BaseModel):
    """A customer of the test domains."""

    customer_id: str
    email: str
    closed: bool


class TestCustomers(BaseModel):
    """A page of them."""

    data: list[TestCustomer]
    next_cursor: str | None


class Purged(BaseModel):
    """A customer that is gone."""

    purged: bool
