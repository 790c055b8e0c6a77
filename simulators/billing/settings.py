"""Every setting of the service, read once from the environment and validated all at once."""

from __future__ import annotations

from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

Environment = Literal["development", "test", "staging", "production"]

_SECRET_LENGTH_MIN = 16


class SettingsError(Exception):
    """The environment describes no service that may start; the message names every mistake."""


class Settings(BaseSettings):
    """The service's configuration: environment variables with the prefix `BILLING_`.

    Amounts are minor units of `currency`; times are seconds. Nothing here has a default that would
    be unsafe in production: secrets must be given.
    """

    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True, extra="ignore")

    environment: Environment = "test"
    database_url: str = "sqlite:///billing.db"

    stripe_api_key: SecretStr
    stripe_api_base: str = "https://api.stripe.com"
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    webhook_tolerance_s: int = Field(default=300, ge=1)
    stripe_connect_timeout_s: float = Field(default=2.0, gt=0)
    stripe_read_timeout_s: float = Field(default=6.0, gt=0)
    stripe_tries: int = Field(default=2, ge=1, le=5)
    stripe_workers: int = Field(default=64, ge=1, le=256)
    stripe_queue: int = Field(default=64, ge=0)

    operator_key: SecretStr | None = None
    key_hmac_secret: SecretStr
    test_control_token: SecretStr | None = None
    failpoint_folder: str | None = None
    test_email_domains: Annotated[tuple[str, ...], NoDecode] = ("example.com", "test.example.com")

    currency: str = Field(default="usd", pattern="^[a-z]{3}$")
    sign_up_credits: int = Field(default=5, ge=0)
    first_card_credits: int = Field(default=5, ge=0)
    payg_fix_price_minor: int = Field(default=2900, gt=0)
    pro_price_minor: int = Field(default=59900, gt=0)
    pro_included_credits: int = Field(default=60, ge=0)
    pro_fix_price_minor: int = Field(default=1500, gt=0)
    pro_rollover_cap: int = Field(default=10, ge=0)
    pro_quantity_max: int = Field(default=1000, ge=1)
    low_credit_threshold: int = Field(default=3, ge=0)
    free_coupons: Annotated[tuple[str, ...], NoDecode] = ()
    follow_up_days: Annotated[tuple[int, ...], NoDecode] = (1, 3, 7, 14)

    body_deadline_s: float = Field(default=10.0, gt=0)
    limit_window_s: int = Field(default=3600, ge=1)
    limit_requests: int = Field(default=500, ge=1)
    limit_operator_requests: int = Field(default=100_000, ge=1)
    limit_failed_authentications: int = Field(default=10, ge=1)
    limit_unverified_webhooks: int = Field(default=2000, ge=1)
    limit_verified_webhooks: int = Field(default=100_000, ge=1)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()

    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout_s: float = Field(default=20.0, gt=0)
    mail_from: str = "billing@example.com"
    mail_poll_s: float = Field(default=1.0, gt=0)

    metrics_token: SecretStr | None = None
    version: str = Field(default="unknown", pattern=r"^[\w.+-]{1,64}$")
    commit: str = Field(default="unknown", pattern=r"^[\w.+-]{1,64}$")
    watched_customers: Annotated[tuple[str, ...], NoDecode, Field(max_length=20)] = ()
    credential_providers: Annotated[tuple[str, ...], NoDecode] = ("anthropic", "github", "openai")

    charge_patience_s: float = Field(default=3.0, ge=0)
    idempotency_lease_s: int = Field(default=60, ge=1)
    idempotency_keep_s: int = Field(default=48 * 3600, ge=24 * 3600)
    worker_poll_s: float = Field(default=0.2, gt=0)
    worker_lease_s: int = Field(default=60, ge=1)
    reconcile_every_s: int = Field(default=600, ge=1)
    event_keep_trying_s: int = Field(default=3 * 86400, ge=60)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def stripe_patience_s(self) -> int:
        """Give how long a request to Stripe may take before someone else looks for it."""
        per_try_s = self.stripe_connect_timeout_s + self.stripe_read_timeout_s
        return 1 + int(per_try_s * self.stripe_tries)

    @field_validator(
        "stripe_webhook_secrets",
        "test_email_domains",
        "free_coupons",
        "follow_up_days",
        "trusted_proxies",
        "credential_providers",
        "watched_customers",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        """Split a list that is written with commas; blanks and empty items do not count."""
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("operator_key", "test_control_token", "metrics_token", mode="before")
    @classmethod
    def _blank_is_absent(cls, value: object) -> object:
        """Read an empty variable as none: it must never become a valid empty secret."""
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("operator_key", "key_hmac_secret", "test_control_token", "metrics_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _SECRET_LENGTH_MIN:
            raise ValueError(f"must have at least {_SECRET_LENGTH_MIN} characters")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ip_network(each)
        return value

    @cached_property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Give the networks whose word on forwarded addresses is taken."""
        return tuple(ip_network(each) for each in self.trusted_proxies)

    @field_validator("stripe_api_key")
    @classmethod
    def _not_blank(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().strip():
            raise ValueError("must not be empty")
        return value


def load_settings() -> Settings:
    """Read the settings; raise `SettingsError` naming what is wrong, never a value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"  {_variable(e['loc'])}: {e['msg']}" for e in error.errors(include_input=False)
        ]
        raise SettingsError(
            "\n".join(["these settings are missing or wrong:", *problems])
        ) from None


def _variable(location: Sequence[int | str]) -> str:
    return "BILLING_" + str(location[0]).upper() if location else "BILLING_*"
