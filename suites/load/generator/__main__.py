"""Locust, as a load starts it: nothing but its command line says what it does.

Locust also reads `~/.locust.conf`, `locust.conf` and `pyproject.toml` of the folder it is started
in; what somebody set there for tests of their own would change a load unseen. Its variables
(`LOCUST_…`) are taken away where it is started.
"""

from __future__ import annotations

from locust import argument_parser
from locust.main import main


def _read_no_files() -> None:
    """Take Locust's own files out of the defaults of what makes its parsers."""
    for make in (argument_parser.get_empty_argument_parser, argument_parser.get_parser):
        defaults = make.__defaults__ or ()
        make.__defaults__ = tuple(
            () if value is argument_parser.DEFAULT_CONFIG_FILES else value for value in defaults
        )


if __name__ == "__main__":
    _read_no_files()
    main()  # type: ignore[no-untyped-call]  # Locust declares no types
