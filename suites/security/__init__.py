"""Attacks on a billing API, and what must come of them."""
