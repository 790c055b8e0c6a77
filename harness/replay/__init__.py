"""Failing histories made short: as a file that replays, and as commands that show the fault."""
