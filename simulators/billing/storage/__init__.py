"""The database: its schema, its guards, and the two kinds of transaction."""
