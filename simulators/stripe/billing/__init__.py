"""Recurring billing: periods, invoices, collection, and the life of a subscription."""
