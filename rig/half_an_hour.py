"""A long item on a card whose crystal is off, in simulated time: how late each of its minutes sounds."""

from array import array

import numpy as np

from agent.card.lane import Lane
from agent.card.playout import Playout
from agent.messages.events import End, Event, SoundEnded
from rig.simulated_pcm import RATE_HZ, STEP_S, SimulatedPcm

MARK = 20_000
SIZE = {"period_samples": 480, "buffer_samples": 33_600, "start_samples": 960}


def lateness_each_minute_ms(pcm: SimulatedPcm, minutes: int) -> list[float]:
    """One item that begins on an instant; how late the first sample of each of its minutes sounds.

    The source has more: the item ends a second after its last minute has begun, at its limit.
    """
    told: list[Event] = []
    playout = Playout(post=told.append, now_s=pcm.now_s)
    playout.opened(pcm.open(device="simulated", rate_hz=RATE_HZ, **SIZE))

    def run(seconds: float) -> None:
        until_s = pcm.now_s() + seconds - STEP_S / 2
        while pcm.now_s() < until_s:
            playout.turn()

    run(0.2)
    plain = array("h", [1_000] * RATE_HZ).tobytes()
    marked = array("h", [MARK] + [1_000] * (RATE_HZ - 1)).tobytes()
    lane = Lane(token=1, cleared=playout.forget)
    playout.add(lane)
    at_s = pcm.now_s() + 1.0
    limit = (60 * minutes + 1) * RATE_HZ
    playout.sound(1, 100, limit, at_s)
    for second in range(60 * minutes + 3):
        lane.push(marked if second % 60 == 0 else plain)
        run(1.0)
    run(1.0)
    ended = told[-1]
    if not isinstance(ended, SoundEnded) or (ended.end, ended.used) != (End.LIMIT, limit):
        raise AssertionError(f"it did not end at its limit, {limit} samples: {ended}")
    marks = np.flatnonzero(np.frombuffer(bytes(pcm.sounded), "<i2") == MARK)
    if len(marks) != minutes + 1:
        raise AssertionError(f"{len(marks)} marks were heard of {minutes + 1}")
    return [(pcm.time_of(int(mark)) - at_s - 60 * number) * 1_000 for number, mark in enumerate(marks)]
