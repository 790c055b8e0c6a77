"""Tests of the security suite's own eyes, on things that are wrong on purpose."""
