"""docs/protocol/reasons.md, made of `agent.messages.reasons`; `python -m tests.messages.reasons_page` writes it."""

from pathlib import Path

from agent.messages.reasons import Reason

PAGE = Path(__file__).parents[2] / "docs" / "protocol" / "reasons.md"

_PREFACE = """# Reasons

Made by `python -m tests.messages.reasons_page`; a test holds this page to the code.

- *counted*: only in the heartbeat's `refused`, because no sender is proven, or the outcome was given before.
- *outcome*: in a signed `command_outcome` as well, where the signature is good, this node is addressed and the minute's
  allowance is not used up. Claims without a usable `iss`, `aud`, `jti` and `iat` are only counted, whatever the reason,
  and so is what is refused before its signature is verified (`too_large` above 256 KiB). A command that waited for the
  time has its one outcome whatever the reason: it was verified once, and acknowledged.
- *record*: in the item's signed `play_record`.
"""


def page() -> str:
    """The table of all reasons, in Markdown."""
    rows = (f"| `{reason.value}` | {reason.shown} | {reason.meaning} |" for reason in Reason)
    return "\n".join((_PREFACE, "| reason | where | meaning |", "|---|---|---|", *rows, ""))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
