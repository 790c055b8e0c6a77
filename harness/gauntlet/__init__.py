"""Calibrates the suites: whether they find the mistakes that a target is told to make."""
