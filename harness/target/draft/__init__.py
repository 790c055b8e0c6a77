"""Drafts a profile from an OpenAPI document: what is sure is written, what is not is asked.

`document` reads it, `endpoints` flattens it, `matching` finds who does what (by `vocabulary`,
`words` and `fields`), `mapping` and `sections` write it down, `toml_text` as TOML.
"""

from harness.target.draft.document import Document, read_document
from harness.target.draft.profile_draft import Draft, draft_profile

__all__ = ["Document", "Draft", "draft_profile", "read_document"]
