"""What can go wrong at the command line: one sentence each, and the exit code that a script sees.

Exit codes (design section 6): 0 done, 1 failed, 2 bad input, 3 refused.
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3


class Problem(Exception):  # noqa: N818  it is shown to a person, and the base of two that end in Error
    """One clear sentence for the operator."""

    exit_code = EXIT_FAILED


class InputError(Problem, ValueError):
    """What was typed, or what stands in a file, is not right: nothing has been sent."""

    exit_code = EXIT_BAD_INPUT


class WorldError(Problem, OSError):
    """The broker, the network or the disk did not do its part."""

    exit_code = EXIT_FAILED
