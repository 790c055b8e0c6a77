from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.operations import OPERATIONS, Operation, covers_core

EVERY = list(OPERATIONS.values())
TABLE = """
create_customer get_customer close_customer get_subscription add_payment_method
list_payment_methods remove_payment_method set_plan subscribe change_subscription
resume_subscription cancel_subscription record_usage get_balance list_ledger list_payments
list_invoices refund_payment adjust_credits create_key rotate_key revoke_key exchange_credentials
receive_webhook advance_time drain purge_customer arm_failpoint
"""
DESIGNED = TABLE.split()


def test_the_operations_are_those_of_the_design() -> None:
    """The table has every operation of the design, by its name, and no other."""
    assert sorted(OPERATIONS) == sorted(DESIGNED)
    assert all(name == operation.name for name, operation in OPERATIONS.items())


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.name)
def test_each_operation_is_told_consistently(operation: Operation) -> None:
    """Optional outputs are outputs, what reads moves no money, lists read, names are unique."""
    assert operation.optional_outputs <= set(operation.outputs)
    assert len(set(operation.inputs)) == len(operation.inputs)
    assert not (operation.reads and operation.paid)
    assert not operation.lists or operation.reads
    assert not (operation.reads and operation.repeat != "nature")


def test_money_moves_only_by_operations_made_safe() -> None:
    """Every operation that can move money is safe to repeat by a key or an id of the client's."""
    assert {operation.repeat for operation in EVERY if operation.paid} == {"key", "client_id"}


def test_the_table_cannot_be_changed() -> None:
    """Neither the table nor an operation of it can be altered by who reads it."""
    with pytest.raises(TypeError):
        OPERATIONS["other"] = EVERY[0]  # type: ignore[index] # that is what is tried
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVERY[0].paid = True  # type: ignore[misc] # that is what is tried


@given(st.frozensets(st.sampled_from(DESIGNED)))
def test_the_core_is_a_customer_a_price_and_a_view(names: frozenset[str]) -> None:
    """A verdict needs a customer, something paid, and the balance or the invoices to look at."""
    paid = names & {"subscribe", "change_subscription", "record_usage", "refund_payment"}
    seen = names & {"get_balance", "list_invoices"}
    assert covers_core(names) == bool("create_customer" in names and paid and seen)
