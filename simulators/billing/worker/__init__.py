"""What happens after an answer was given: effects of events, and charges that were left in doubt."""
