"""Stand-ins for the other side of a billing API, run as processes of their own."""
