"""Faults on purpose: which requests and deliveries they hit, what they do, and what they did."""
