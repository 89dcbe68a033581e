"""Attacks on one pole, told as they would happen; `tests.signing` plays both the officers and the attackers."""
