"""Hypothesis without a stopwatch: a test says what is true, not how fast this machine is just now."""

from hypothesis import HealthCheck, settings

UNHURRIED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
