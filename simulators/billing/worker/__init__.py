"""What happens after an answer was given: effects of events, doubts, and reconciling."""
