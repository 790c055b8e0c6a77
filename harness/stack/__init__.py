"""Starts, supervises and stops a local stack of subprocesses."""

from harness.stack.addresses import Addresses
from harness.stack.command import start_command
from harness.stack.process import Child, DeadChild
from harness.stack.stack import Stack, StackOptions

__all__ = ["Addresses", "Child", "DeadChild", "Stack", "StackOptions", "start_command"]
