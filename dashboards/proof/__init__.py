"""The ledger oracle: panels and alerts in a real Prometheus, against what really happened."""
