"""Loa: the node on a commune's speaker pole. It says nothing without a verified order."""

__version__ = "0.1.0"

RELEASED_AT_S = 1_793_491_200
"""When this version was made (2026-11-01, Unix seconds): no clock of a node is believed to stand before it."""
