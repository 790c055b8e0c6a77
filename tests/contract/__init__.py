"""Tests of the contract suite: what it does with documents, and what with a target's answers."""
