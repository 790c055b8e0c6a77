"""Each defect makes the mistake that it is named for, and nothing of it stays."""
