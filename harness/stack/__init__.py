"""Starts, supervises and stops a local stack of subprocesses."""
