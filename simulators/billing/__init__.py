"""The reference billing service."""
