"""Billing APIs unlike the reference, to prove that a profile alone is enough."""
