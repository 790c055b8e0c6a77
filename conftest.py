"""Loads the harness's pytest plugin by name, so that coverage sees its import. Nothing else."""

pytest_plugins = ["harness.pytest_plugin"]
