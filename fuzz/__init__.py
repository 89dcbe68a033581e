"""Coverage-guided fuzzing of everything that a stranger, a broker, a memory card or a slip of the hand can bend.

`make fuzz`. `material` holds what is honest, `mutation` bends it, `promises` say what must hold whatever comes in,
`targets` put it to each door, `one` runs one target under atheris, `__main__` runs them all. Only `one` knows atheris:
the tests run the targets without it.
"""
