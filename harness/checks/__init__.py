"""The invariants: pure functions over what was seen."""
