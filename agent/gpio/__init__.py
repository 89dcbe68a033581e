"""The amplifier's lines: who holds them, and how they are driven."""
