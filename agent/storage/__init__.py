"""Parts of `agent.store`: the tables, what is written to them, and what is read at the start."""
