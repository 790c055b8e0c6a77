"""The verdict page: one HTML file that opens offline."""
