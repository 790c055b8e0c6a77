"""Tests of the gauntlet's own reasoning; real ones are in tests/cli."""
