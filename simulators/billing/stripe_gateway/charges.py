"""Charges for single fixes, and what takes a charge back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.billing.stripe_gateway import facts
from simulators.billing.stripe_gateway.calls import PAGE, Caller, read
from simulators.billing.stripe_gateway.errors import StripeDoubt, StripeRefusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import stripe


class ChargeCalls:
    """Payment intents, refunds and disputes."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def charge(self, order: facts.ChargeOrder) -> facts.Intent:
        """Charge a card that is on file, now and without its holder present."""
        create = self._caller.v1.payment_intents.create
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": order.amount_minor,
            "currency": self._caller.settings.currency,
            "customer": order.stripe_customer_id,
            "payment_method": order.payment_method,
            "confirm": True,
            "off_session": True,
            "metadata": self._caller.metadata(
                customer_id=order.customer_id, fix_id=order.fix_id, ledger_id=order.attempt_id
            ),
        }
        made = self._caller.call(lambda: create(params, {"idempotency_key": order.key}))
        return read(facts.intent, made)

    def find_charge(self, stripe_customer_id: str, attempt_id: str) -> facts.Intent | None:
        """Look an attempt's payment intent up by customer and metadata."""
        listing = self._caller.v1.payment_intents.list
        params: stripe.params.PaymentIntentListParams = {
            "customer": stripe_customer_id,
            "limit": PAGE,
        }

        def pick(page: stripe.ListObject[stripe.PaymentIntent]) -> facts.Intent | None:
            found = (facts.intent(each) for each in page.auto_paging_iter())
            return next((each for each in found if each.attempt_id == attempt_id), None)

        return self._caller.call(lambda: read(pick, listing(params)))

    def intent(self, payment_intent: str) -> facts.Intent:
        """Fetch a payment intent."""
        retrieve = self._caller.v1.payment_intents.retrieve
        return read(facts.intent, self._caller.call(lambda: retrieve(payment_intent)))

    def cancel_intent(self, payment_intent: str) -> facts.Intent:
        """Cancel a payment intent that its customer never completed."""
        cancel = self._caller.v1.payment_intents.cancel
        return read(facts.intent, self._caller.call(lambda: cancel(payment_intent)))

    def refund(self, order: facts.RefundOrder) -> facts.Movement:
        """Give money back; one that Stripe has only begun is in doubt."""
        create = self._caller.v1.refunds.create
        params: stripe.params.RefundCreateParams = {
            "charge": order.charge,
            "amount": order.amount_minor,
            "metadata": self._caller.metadata(
                customer_id=order.customer_id, ledger_id=order.request_id
            ),
        }
        made = self._caller.call(lambda: create(params, {"idempotency_key": order.key}))
        return read(lambda refund: _completed(refund, order.charge), made)

    def find_refund(self, charge: str, request_id: str) -> facts.Movement | None:
        """Look a refund up by its charge and metadata."""
        listing = self._caller.v1.refunds.list

        def pick(page: stripe.ListObject[stripe.Refund]) -> facts.Movement | None:
            found = page.auto_paging_iter()
            mine = (e for e in found if facts.our_id(e.metadata, "ledger_id") == request_id)
            return next((_completed(each, charge) for each in mine), None)

        params: stripe.params.RefundListParams = {"charge": charge, "limit": PAGE}
        return self._caller.call(lambda: read(pick, listing(params)))

    def refunds_of(self, charge: str) -> Sequence[facts.Movement]:
        """List the refunds of a charge that went through, oldest first."""
        listing = self._caller.v1.refunds.list

        def movements(page: stripe.ListObject[stripe.Refund]) -> list[facts.Movement]:
            return [
                facts.Movement(each.id, each.amount, each.currency, parent=charge)
                for each in page.auto_paging_iter()
                if each.status == "succeeded"
            ]

        params: stripe.params.RefundListParams = {"charge": charge, "limit": PAGE}
        return self._caller.call(lambda: read(movements, listing(params)))[::-1]

    def dispute(self, dispute_id: str) -> Sequence[facts.Movement]:
        """Fetch what a dispute has taken and, if it was won, given back; an inquiry takes nothing.

        The loss goes by the dispute's id, what came back by that of its balance transaction.
        """
        found = self._caller.call(lambda: self._caller.v1.disputes.retrieve(dispute_id))

        def movements(dispute: stripe.Dispute) -> list[facts.Movement]:
            charge = facts.required(dispute.charge)
            signed = [(each.amount < 0, each.id) for each in dispute.balance_transactions]
            return [
                facts.Movement(
                    dispute.id if is_loss else moved,
                    dispute.amount if is_loss else -dispute.amount,
                    dispute.currency,
                    parent=charge,
                )
                for is_loss, moved in signed
            ]

        return read(movements, found)


def _completed(refund: stripe.Refund, charge: str) -> facts.Movement:
    if refund.status in {"failed", "canceled"}:
        raise StripeRefusal("refund_failed", "the money did not go back")
    if refund.status != "succeeded":
        raise StripeDoubt(f"the refund is {refund.status}")
    return facts.Movement(refund.id, refund.amount, refund.currency, parent=charge)
