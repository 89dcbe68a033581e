"""Measurements, side by side in one run; never asserted by a timed test (`make bench`)."""
