"""Words in names: split, made singular, and taken for what they mean in billing."""

from __future__ import annotations

import re
from functools import cache

_BREAK = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORDS_MAX = 40  # of one name or sentence; what is longer says nothing more

_MEANINGS = {
    "customer": "customer account user tenant client member organization organisation org"
    " workspace subscriber company team profile buyer payer customer_account",
    "subscription": "subscription contract membership agreement",
    "plan": "plan tariff tier package",
    "usage": "usage event metering meter record consumption measurement track report consume"
    " usage_record usage_event meter_event",
    "balance": "balance wallet credit credit_balance purse",
    "ledger": "ledger transaction entry movement move statement balance_transaction ledger_entry"
    " credit_entry credit_transaction",
    "payment": "payment charge payment_intent receipt",
    "payment_method": "card payment_method payment_source instrument bank_card payment_card",
    "invoice": "invoice bill",
    "key": "key api_key access_key",
    "credential": "credential token access_token api_token",
    "webhook": "webhook hook callback stripe stripe_webhook payment_webhook",
    "refund": "refund reversal money_back reimbursement",
    "adjust": "adjust adjustment correction grant goodwill",
    "signup": "signup onboard onboarding register registration enrol enroll sign_up",
    "create": "create add new open start begin make attach",
    "cancel": "cancel cancellation terminate termination end stop unsubscribe",
    "resume": "resume reactivate uncancel restore reinstate undo continue resumption",
    "change": "change update upgrade downgrade modify switch set",
    "close": "close deactivate archive closure disable delete remove",
    "remove": "remove delete detach revoke deactivate",
    "rotate": "rotate roll regenerate rotation reissue",
    "exchange": "exchange issue mint assume",
    "clock": "clock time advance",
    "drain": "drain flush settle",
    "failpoint": "failpoint chaos fault_point",
    "purge": "purge wipe erase forget",
    "buy": "buy purchase topup checkout top_up portal preview estimate quote download pdf export"
    " verify retry pay void finalize search",
    "test": "test sandbox simulator testing test_control",
    "operator": "operator admin internal staff backoffice administration management",
}
_MEANING = {word: meaning for meaning, text in _MEANINGS.items() for word in text.split()}


def all_of(text: str) -> frozenset[str]:
    """Give the words of a list that is written as one text."""
    return frozenset(text.split())


def words(text: str) -> list[str]:
    """Split a name into small, singular words.

    >>> words("listPaymentMethods"), words("/api-keys/{key_id}"), words("ledger entries")
    (['list', 'payment', 'method'], ['api', 'key', 'key', 'id'], ['ledger', 'entry'])
    """
    return list(_words(text))


@cache
def _words(text: str) -> tuple[str, ...]:
    parts = [part for part in _BREAK.split(text[:400]) if part]
    return tuple(_singular(part.lower()) for part in parts[:_WORDS_MAX])


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > len("ties"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches")):
        return word[:-2]
    if (
        word.endswith("s")
        and not word.endswith(("ss", "us", "is", "as"))
        and len(word) > len("tos")
    ):
        return word[:-1]
    return word


def meanings(text: str) -> list[str]:
    """Give what the words of a name mean in billing, in their order; others are left out.

    >>> meanings("list-payment-methods"), meanings("/wallet/entries"), meanings("getTariff")
    (['payment_method'], ['balance', 'ledger'], ['plan'])
    """
    return list(_meanings(text))


@cache
def _meanings(text: str) -> tuple[str, ...]:
    parts, found, at = words(text), [], 0
    while at < len(parts):
        pair = "_".join(parts[at : at + 2])
        taken = 2 if at + 1 < len(parts) and pair in _MEANING else 1
        meaning = _MEANING.get(pair if taken == 2 else parts[at])  # noqa: PLR2004 - a pair
        found += [meaning] if meaning else []
        at += taken
    return tuple(found)
