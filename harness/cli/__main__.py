"""`python -m harness.cli`, for where the console script is not on the PATH."""

from harness.cli import main

main()
