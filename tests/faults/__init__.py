"""What goes wrong outside, and what the node makes of it."""
