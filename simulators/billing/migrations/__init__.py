"""Revisions of the schema, newest last; each can be taken back."""
