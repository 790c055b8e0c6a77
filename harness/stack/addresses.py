"""Where a running stack can be reached, and with which keys."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.stack.mailbox import MAIL_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Addresses and keys of one stack; the keys were made for it and open nothing else."""

    billing_url: str
    stripe_url: str
    webhook_url: str
    webhook_secret: str = field(repr=False)
    previous_webhook_secret: str = field(default="", repr=False)
    operator_key: str = field(repr=False)
    stripe_api_key: str = field(repr=False)
    test_control_token: str = field(repr=False)
    metrics_token: str = field(repr=False)
    api_docs_url: str
    database_url: str = field(repr=False)
    folder: str

    def to_json(self) -> str:
        """Return one line of JSON; a database's password is left out, for it was not made here."""
        shown = asdict(self)
        shown["database_url"] = re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:***@", self.database_url)
        return json.dumps(shown)

    def environment(self) -> dict[str, str]:
        """Return the variables by which a target's profile refers to the stack."""
        return {
            "STACK_BILLING_URL": self.billing_url,
            "STACK_STRIPE_URL": self.stripe_url,
            "STACK_WEBHOOK_SECRET": self.webhook_secret,
            "STACK_PREVIOUS_WEBHOOK_SECRET": self.previous_webhook_secret,
            "STACK_OPERATOR_KEY": self.operator_key,
            "STACK_STRIPE_API_KEY": self.stripe_api_key,
            "STACK_TEST_CONTROL_TOKEN": self.test_control_token,
            "STACK_METRICS_TOKEN": self.metrics_token,
            "STACK_DATABASE_URL": self.database_url,
            "STACK_LOG_DIR": self.folder,
            "STACK_MAIL_DIR": str(Path(self.folder) / MAIL_FOLDER),
        }
