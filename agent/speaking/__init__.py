"""The parts of speech: voices, the child process that speaks, and the sounds that are kept."""
