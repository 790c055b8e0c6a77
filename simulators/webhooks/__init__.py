"""Webhooks on their own: events built, signed and delivered, without any simulator's state."""
