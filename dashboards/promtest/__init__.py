"""promtool tests: every panel's query on a known story, and every alert firing and silent."""
