"""How Hypothesis searches: the same examples in every `make test`, new and more ones at night."""

from hypothesis import HealthCheck, settings

# Time is the machine's business, not a property: neither a slow draw nor a slow example fails.
settings.register_profile(
    "everyday", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "nightly", parent=settings.get_profile("everyday"), derandomize=False, print_blob=True
)
settings.load_profile("everyday")
