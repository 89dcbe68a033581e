"""Loa: the node on a commune's speaker pole. It says nothing without a verified order."""

__version__ = "0.1.0"
