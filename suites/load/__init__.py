"""Load: arrivals that keep their schedule, latency from the intended start, money checked after."""
