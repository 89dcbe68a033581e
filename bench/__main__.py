"""`make bench`: what a commune would feel, beside what else one could use. Quote ratios; machines are noisy."""

import argparse
import platform
import tempfile
from pathlib import Path

from bench import idle, latency, verify
from rig.calm import Probe
from rig.sound import Daemon
from rig.village import Station


def main() -> None:
    """All measurements, or those named."""
    parts = {"latency": latency.run, "start": idle.start_to_ready, "idle": idle.at_rest}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", help="default: all")
    wanted = parser.parse_args().part or [*parts, "verify"]
    print(f"{platform.machine()}, Python {platform.python_version()}; a Pi Zero 2 W is taken as 12 times slower")
    with Probe() as probe:
        if "verify" in wanted:
            verify.run()
        with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder, Daemon() as sound:
            for name, part in parts.items():
                if name in wanted:
                    with Station(Path(folder) / name) as station:
                        part(station, sound)
    print(f"\nthe machine was late by {probe.worst_ms:.0f} ms at worst while this was measured")


main()
