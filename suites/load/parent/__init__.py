"""What runs in the command's own process: what is asked for, followed, judged and told."""
