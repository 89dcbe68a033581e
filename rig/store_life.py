"""One life of a store, as a process that can be killed: `python -m rig.store_life PATH FIRST`.

Says first what it found, as JSON, then `c N` for each of its transactions that the store has confirmed. Transaction N
remembers command `jti-N` and appends report N: both must be there afterwards, or neither.
"""

import itertools
import json
import logging
import sys
from pathlib import Path
from queue import SimpleQueue

from agent.messages.effects import AppendReport, RememberCommand
from agent.messages.events import CommitFailed, Committed, Event, ThreadDied
from agent.messages.reports import Alarm, ReportClaims
from agent.process import post_deaths
from agent.store import Bounds, Store

AT_ONCE = 3
"""Transactions on their way: several become one."""


def main(path: Path, first: int) -> None:
    """Until it is killed, or the disk takes nothing more."""
    logging.disable(logging.CRITICAL)
    inbox: SimpleQueue[Event] = SimpleQueue()
    post_deaths(inbox.put)
    store = Store(path=path, post=inbox.put, bounds=Bounds(reports=1_000_000_000, bytes=1_000_000_000_000))
    memory = store.load()
    found = sorted(int(each.jti.removeprefix("jti-")) for each in memory.accepted)
    _say(json.dumps({"found": found, "reports": memory.outbox_count, "fault": memory.fault}))
    for number in itertools.count(first):
        claims = ReportClaims("node:hoang-dao/hd-03", 0, "0" * 32, number, False, Alarm("test", "", 1))
        store.commit(number, (RememberCommand("iss", f"jti-{number}", 2_000_000_000, 1), AppendReport(claims)))
        if number - first >= AT_ONCE:
            event = inbox.get(timeout=20)
            if isinstance(event, CommitFailed | ThreadDied):
                return
            assert isinstance(event, Committed)
            _say(f"c {event.token}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
