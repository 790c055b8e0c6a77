"""The project's own gates, run by `make check`."""
