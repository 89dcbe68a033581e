"""Rigs: real parts on a machine with no Pi, for tests, bench and `make run`."""
