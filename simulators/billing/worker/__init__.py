"""What happens after an answer was given: effects of events, and charges in doubt."""
