"""Whether what came out of an emulated machine's card is what was sent."""

from rig.heard import heard
from rig.sound import Samples

EDGE_MS = 10.0
"""What may be missing at either end (the design's budget)."""
SAME_LEVEL_DB = 1.0


def assert_heard_whole(sent: Samples, recording: Samples) -> None:
    """Nothing is missing and nothing is louder or softer. A gap is the machine standing still, and loses nothing."""
    what = heard(sent, recording)
    assert max(what.head_lost_ms, what.tail_lost_ms, what.within_lost_ms) <= EDGE_MS, what
    assert abs(what.gain_db) <= SAME_LEVEL_DB, what
