"""What a load leaves for readers and machines: the page, tables, metrics."""
