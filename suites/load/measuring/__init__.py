"""What was measured: recorded, merged exactly, held against thresholds and earlier loads."""
