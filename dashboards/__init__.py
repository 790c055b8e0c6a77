"""Dashboards, alert rules and their proofs, all from one definition: the observables."""
