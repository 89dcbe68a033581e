"""What the journal gets: levels, one line a record, so many a minute; and nobody waits for it."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.journal import (
    ALL_BURST,
    KIND_BURST,
    KIND_EVERY_S,
    MAX_KINDS,
    MAX_LINE_CHARACTERS,
    JournalHandler,
    Moderation,
)

ROOT = Path(__file__).parent.parent


class Journal:
    """The other end of the stream, and a clock."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self._theirs, ours = socket.socketpair()
        self._theirs.setblocking(False)
        self.log = logging.getLogger(f"loa.journal-{id(self)}")
        self.log.setLevel(logging.INFO)
        self.log.propagate = False
        self.handler = JournalHandler(ours, lambda: self.now_s)
        self.log.addHandler(self.handler)
        self._ours = ours

    def lines(self) -> list[str]:
        got = b""
        with suppress(BlockingIOError):
            while part := self._theirs.recv(1 << 20):
                got += part
        return got.decode().splitlines()

    def close(self) -> None:
        self.log.removeHandler(self.handler)
        self._theirs.close()
        self._ours.close()


def spelt(number: int) -> str:
    """Without digits, so that each is another kind."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    journal.close()


def test_each_line_has_its_level_and_a_traceback_too(journal: Journal) -> None:
    journal.log.info("ready")
    journal.log.warning("link down: %s", "gone")
    journal.log.error("disk")
    try:
        int("a bug")
    except ValueError:
        journal.log.critical("the loop has failed", exc_info=True)
    lines = journal.lines()
    assert lines[:4] == ["<6>ready", "<4>link down: gone", "<3>disk", "<2>the loop has failed"]
    assert all(line.startswith("<2>") for line in lines[3:])
    assert lines[-1].startswith("<2>ValueError: invalid literal")


def test_nobody_forges_a_line(journal: Journal) -> None:
    journal.log.warning("refused: %s", "x\n<6>clock trusted: by me\x1b[2J\r\u2028" + "y" * 9_000)
    (line,) = journal.lines()
    assert line.startswith("<4>refused: x?<6>clock trusted: by me?[2J??yyy")
    assert len(line) == len("<4>") + MAX_LINE_CHARACTERS + len("...")


def test_lines_of_a_kind_are_ten_and_then_one_a_minute_with_the_count_of_the_others(journal: Journal) -> None:
    for second in range(600):
        journal.now_s = 1_000.0 + second
        journal.log.warning("link down: broker cut the connection; next attempt in %.1f s", second / 100)
    lines = journal.lines()
    assert KIND_BURST + 9 <= len(lines) <= KIND_BURST + 11
    assert [line for line in lines if "more like it" not in line] == lines[:KIND_BURST] + [
        line for line in lines[KIND_BURST:] if "more like it" not in line
    ]
    counted = [int(line.rpartition("(and ")[2].split()[0]) for line in lines if "more like it" in line]
    assert sum(counted) + len(lines) >= 600 - KIND_EVERY_S


def test_another_kind_is_told_amid_a_flood(journal: Journal) -> None:
    for number in range(1_000):
        journal.log.warning("command jti-%020d of 'commune' refused: replayed", number)
    journal.log.info("item news: sounding")
    assert journal.lines()[-1] == "<6>item news: sounding"


def test_all_kinds_together_are_bounded_and_errors_are_not_lost_among_them(journal: Journal) -> None:
    for number in range(1_000):
        journal.log.info("item %s is due", spelt(number))
    journal.log.error("disk: it has not answered for 10 s")
    lines = journal.lines()
    assert len(lines) == ALL_BURST + 1
    assert lines[-1].startswith("<3>disk")
    journal.now_s += 60.0
    for number in range(1_000):
        journal.log.info("item %s is due", spelt(number))
    assert len(journal.lines()) == 60, "one a second"


def test_what_is_remembered_of_kinds_is_bounded() -> None:
    moderation = Moderation()
    for number in range(4 * MAX_KINDS):
        moderation.let_through(f"item {spelt(number)}", logging.ERROR, 1.0)
    assert len(moderation._kinds) == MAX_KINDS


def test_a_journal_that_reads_nothing_holds_nobody_up(journal: Journal) -> None:
    for number in range(20_000):
        journal.now_s += KIND_EVERY_S
        journal.log.info("item %d: sounding", number)
    read = journal.lines()
    assert 0 < len(read) < 20_000
    journal.log.info("again")
    rest = journal.lines()
    journal.log.info("and again")
    told = [*rest, *journal.lines()]
    assert told[-1] == "<6>and again"
    (lost,) = [line for line in told if "were lost" in line]
    numbered = [line for line in (*read, *told) if ": sounding" in line]
    assert int(lost.split()[0].removeprefix("<4>")) == 20_000 - len(numbered)


def test_a_journal_that_is_gone_hurts_nobody(journal: Journal) -> None:
    journal._theirs.close()
    for _ in range(3):
        journal.log.error("nobody reads this")


CHILD = """
import logging, os, threading, warnings
from agent.journal import log_to_stderr
from agent.process import post_deaths
log_to_stderr()
post_deaths(lambda event: None)
logging.getLogger("loa").info("ready")
warnings.warn("of a library")
thread = threading.Thread(target=lambda: 1 / 0, name="player")
thread.start()
thread.join()
for number in range(500):
    os.write(2, b"[libmpg123/layer3.c:%d] error: dequantization failed!\\n" % number)
logging.getLogger("loa").info("after it")
os.close(2)
for each in threading.enumerate():
    if each.name == "stderr":
        each.join()
"""


def child(stderr: int, told: str) -> str:
    """Run it; what it wrote to its stderr, if that is a pipe."""
    environment = {**os.environ, "JOURNAL_STREAM": told}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=ROOT, stderr=stderr, env=environment, timeout=60, check=True, text=True
    )
    return done.stderr


def test_a_process_of_systemds_writes_to_its_stream_and_another_to_its_terminal() -> None:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        found = os.fstat(ours.fileno())
        child(ours.fileno(), f"{found.st_dev}:{found.st_ino}")
        terminal = child(subprocess.PIPE, f"{found.st_dev}:{found.st_ino}").splitlines()
        ours.close()
        journal = b"".join(iter(lambda: theirs.recv(1 << 16), b"")).decode().splitlines()
    assert journal[0] == "<6>ready"
    assert "<4>" in journal[1]
    assert "of a library" in journal[1]
    assert "<2>thread player has failed" in journal
    assert "<2>ZeroDivisionError: division by zero" in journal
    assert "<6>after it" in journal
    foreign = [line for line in journal if "libmpg123" in line]
    assert foreign == [f"<4>stderr: [libmpg123/layer3.c:{n}] error: dequantization failed!" for n in range(KIND_BURST)]
    assert len([line for line in terminal if "libmpg123" in line]) == 500, "a terminal shows all as it comes"
    assert not [line for line in terminal if line.startswith("<")]


FAILING = """
import logging, sys
from agent.journal import log_to_stderr
log_to_stderr()
sys.stderr.write("loa-agent: one line, ")
raise RuntimeError("nobody foresaw this")
"""


def test_why_a_process_ends_is_in_the_journal_whoever_wrote_it() -> None:
    """Python's own traceback comes last of all: the thread that passes it on must not die before it has."""
    theirs, ours = socket.socketpair()
    with theirs:
        with ours:
            found = os.fstat(ours.fileno())
            environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
            command = [sys.executable, "-c", FAILING]
            done = subprocess.run(command, cwd=ROOT, stderr=ours.fileno(), env=environment, timeout=60, check=False)
        journal = b"".join(iter(lambda: theirs.recv(1 << 16), b"")).decode().splitlines()
    assert done.returncode == 1
    assert journal[0] == "<4>stderr: loa-agent: one line, Traceback (most recent call last):"
    assert journal[-1] == "<4>stderr: RuntimeError: nobody foresaw this"
