"""Customers' stories, end to end."""
