"""Slots for tests: those of a commune's week."""

from agent.messages.codec import convert
from agent.messages.documents import Slot

EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def slot(**changes: object) -> Slot:
    """The morning news, every day of 2026, after these changes."""
    members: dict[str, object] = {
        "id": "thoi-su-sang",
        "days": EVERY_DAY,
        "at": "05:00",
        "kind": "normal",
        "title": "Thời sự buổi sáng",
        "sources": [{"relay": {"uri": "https://stream.vov.example/vov1"}}],
        "max_duration_s": 1_800,
        "valid_from": "2026-01-01",
        "valid_until": "2026-12-31",
    }
    return convert({**members, **changes}, Slot)
