"""What `loa-agent` does, one module a command: its arguments, and `main`, which returns the exit code (ADR 30)."""
