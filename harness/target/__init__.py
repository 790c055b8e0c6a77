"""Targets: how a billing API is described and spoken to, without sending anything."""
