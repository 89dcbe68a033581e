"""What the long runs judge by: resources of a process, and their growth over what they were when it was warm."""

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rig.soak.findings import Findings
from rig.soak.gaps import BLOCK_SAMPLES, Silences
from rig.soak.resources import Resources
from rig.soak.tally import Tally
from rig.soak.wishes import Wish

WARM = Resources(at_s=0.0, rss_kib=70_000, anon_kib=35_000, threads=14, files=4, sockets=3, others=10)


def test_what_this_process_opens_is_counted(tmp_path: Path) -> None:
    before, done = Resources.of(os.getpid()), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with (tmp_path / "file").open("w"), socket.socket():
        opened = Resources.of(os.getpid())
    done.set()
    thread.join()
    grown = opened.threads - before.threads, opened.files - before.files, opened.sockets - before.sockets
    assert grown == (1, 1, 1)
    assert opened.anon_kib <= opened.rss_kib


def test_memory_that_is_taken_is_seen() -> None:
    before = Resources.of(os.getpid())
    taken = b"x" * 32_000_000
    assert Resources.of(os.getpid()).anon_kib - before.anon_kib > 30_000
    assert len(taken) > 0


@pytest.mark.parametrize(
    ("later", "missed"),
    [
        (WARM, []),
        (replace(WARM, rss_kib=70_900, anon_kib=35_900), []),
        (replace(WARM, anon_kib=36_100), ["anonymous RSS"]),
        (replace(WARM, rss_kib=71_100), ["RSS"]),
        (replace(WARM, threads=15), ["threads"]),
        (replace(WARM, files=5), ["files"]),
        (replace(WARM, sockets=4), ["sockets"]),
        (replace(WARM, others=11), ["others"]),
        (replace(WARM, threads=1, files=1), []),
    ],
)
def test_growth_is_judged(later: Resources, missed: list[str]) -> None:
    found = Findings("title")
    found.expect_flat([WARM], [WARM, later, WARM])
    assert [line.removeprefix("growth of ").partition(":")[0] for line in found.missed] == missed
    assert str(found).count("MISSED") == len(missed)


def test_silences_amid_sound_are_measured_and_no_others() -> None:
    silences = Silences(now_s=lambda: 7.0)
    sound, hush = np.full(BLOCK_SAMPLES * 5, 900, "<i2").tobytes(), bytes(BLOCK_SAMPLES * 2 * 3)
    for heard in (hush, sound, hush[:-2], hush[-2:] + sound, sound, hush):
        silences.take(heard)
    assert silences.found == [(7.0, 0.03)]


def report(seq: int, **members: object) -> dict[str, object]:
    return {"boot": "b", "seq": seq, "report": members}


def accepted(seq: int, jti: str) -> dict[str, object]:
    return report(seq, type="command_outcome", jti=jti, outcome="accepted", reason=None)


def played(seq: int, item: str, result: str = "played") -> dict[str, object]:
    return report(seq, type="play_record", item=item, result=result, reason=None, underruns=1)


def test_orders_are_settled_once_all_has_come() -> None:
    tally = Tally()
    tally.expect([Wish(b"", "j1", item="i1", result="played"), Wish(b"", "j2"), Wish(b"", "forged", outcome=None)])
    for claims in (accepted(1, "j1"), accepted(2, "j2"), accepted(1, "j1")):
        tally.count(claims)
        assert tally.waits
    tally.count(played(3, "i1"))
    assert not tally.waits
    assert (tally.outcomes, tally.records, tally.underruns) == ({"j1": 1, "j2": 1}, {"i1": 1}, 1)
    assert tally.wrong == []


def test_what_comes_twice_otherwise_or_never_is_told() -> None:
    tally = Tally()
    wishes = [Wish(b"", "j1", item="i1", result="failed"), Wish(b"", "j2", outcome="refused"), Wish(b"", "j3")]
    tally.expect(wishes)
    for claims in (accepted(1, "j1"), played(2, "i1"), played(3, "i1"), accepted(4, "j2")):
        tally.count(claims)
    tally.give_up()
    assert tally.records == {"i1": 2}
    assert [line.partition(":")[0].split()[0] for line in tally.wrong] == ["i1", "j2", "j3"]
