"""The harness's own tests: they ask whether the harness works, never whether an API does."""
