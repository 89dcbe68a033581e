"""Pages, pictures and commands of the documentation, held to the code."""
