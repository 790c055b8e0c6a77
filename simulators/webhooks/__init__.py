"""Webhook events: building, signing and delivering them."""
