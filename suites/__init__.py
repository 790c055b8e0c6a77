"""The named suites, which check a billing API."""
