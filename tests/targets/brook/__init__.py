"""Brook sells drops: credits that a plan brings each month, of which none keep into the next.

Subscriptions are things of their own, lists come by the page, and refusals are problem documents.
The harness knows it by `tests/targets/brook.toml` alone.
"""
