"""Stripe objects built from a few facts, whole and in agreement with each other."""
