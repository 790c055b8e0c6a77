"""What a billing API promises to its clients: its OpenAPI document, and what all rely on."""
