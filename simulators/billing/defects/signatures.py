"""Mistakes with the signatures of Stripe's events while a secret is rolled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.billing.defects.catalogue import defect
from simulators.billing.http import webhooks

if TYPE_CHECKING:
    from simulators.billing.defects.overlay import Overlay
    from simulators.billing.settings import Settings


@defect(
    "newest-secret-alone-tried",
    "webhooks",
    breaks=5,
    found_by=("test_while_a_secret_is_rolled_both_are_good_and_no_third",),
)
def newest_secret_alone_tried(overlay: Overlay) -> None:
    """Try the newest secret alone, so that events signed with the one before are refused."""

    def verify(settings: Settings, body: bytes, header: str | None) -> None:
        newest = settings.stripe_webhook_secrets[:1]
        genuine(settings.model_copy(update={"stripe_webhook_secrets": newest}), body, header)

    genuine = overlay.replace(webhooks, "verify", verify)


@defect(
    "first-signature-alone-looked-at",
    "webhooks",
    breaks=5,
    found_by=("test_a_rightly_signed_webhook_is_accepted",),
)
def first_signature_alone_looked_at(overlay: Overlay) -> None:
    """Look at the first `v1` of a header alone, where Stripe writes one for each active secret."""

    def verify(settings: Settings, body: bytes, header: str | None) -> None:
        parts = (header or "").split(",")
        others = [part for part in parts if part.startswith("v1=")][1:]
        kept = ",".join(part for part in parts if part not in others)
        genuine(settings, body, kept if header is not None else None)

    genuine = overlay.replace(webhooks, "verify", verify)
