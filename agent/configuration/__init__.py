"""Config's parts: YAML with positions, sections, values, and what a technician is told."""
