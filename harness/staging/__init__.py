"""A staging in ten known states: made, read back, and put back whenever somebody asks."""
