"""The words of the node: commands, reports, events, effects. Frozen, typed, and importing nothing of ours."""
