"""`make bench`: what a commune would feel, beside what else one could use. Quote ratios; machines are noisy."""

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import drift, flood, idle, latency, relaying, skew, verify
from bench.budget import MissedError, UnsoundError
from rig.calm import Machine
from rig.sound import Daemon, boottime_s
from rig.village import Station


@contextmanager
def _told(name: str, failed: list[str]) -> Iterator[None]:
    """A part that waits in vain, has gaps or misses its budget is told as such and fails the whole; others go on."""
    try:
        yield
    except (TimeoutError, UnsoundError) as error:
        failed.append(name)
        how = "BUDGET MISSED" if isinstance(error, MissedError) else "FAILED"
        print(f"\n{name}: {'NOT MEASURED' if isinstance(error, TimeoutError) else how}: {error}")


def main() -> int:
    """All measurements, or those named; 1 if one could not be taken, or missed its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", help="default: all")
    parser.add_argument("--rest", type=float, default=idle.REST_S, help="seconds of `idle` (design: 600)")
    arguments = parser.parse_args()
    parts: dict[str, Callable[[Station, Daemon, Machine], None]] = {
        "latency": latency.run,
        "start": idle.start_to_ready,
        "idle": partial(idle.at_rest, rest_s=arguments.rest),
        "written": idle.written_an_item,
        "flood": flood.run,
        "skew": skew.run,
        "relaying": relaying.run,
    }
    wanted = arguments.part or [*parts, "verify", "drift"]
    print(f"{platform.machine()}, Python {platform.python_version()}; a Pi Zero 2 W is taken as 12 times slower")
    since_s = boottime_s()
    failed: list[str] = []
    with Machine() as machine:
        if "verify" in wanted and not verify.run():
            failed.append("verify")
        if "drift" in wanted:
            with _told("drift", failed):
                drift.run()
        with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder, Daemon() as sound:
            for name, part in parts.items():
                if name in wanted:
                    with Station(Path(folder) / name) as station, _told(name, failed):
                        part(station, sound, machine)
        until_s = boottime_s()
        stalled_s, worst_s = machine.stalled_s(since_s, until_s), machine.worst_s(since_s, until_s)
        share = stalled_s / (until_s - since_s)
        print(f"\nmeanwhile the machine stood still for {share:.0%} of the time, {worst_s:.2f} s at worst")
    return 1 if failed else 0


sys.exit(main())
