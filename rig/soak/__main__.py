"""`python -m rig.soak PART`: 1 where a bound is missed."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from rig.soak import fleet, plays, relay


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _stop(number: int, _: object) -> None:
    """All that was started ends with this process, as it does after a bound."""
    sys.exit(128 + number)


def main() -> int:
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("relay", help="one relay for hours")
    one.add_argument("--seconds", type=float, default=7_200.0, help="measured, after the warm-up")
    one.add_argument("--warm-up", type=float, default=300.0, help="seconds before")
    one.add_argument("--hls", action="store_true", help="HLS instead of Icecast")
    one = parts.add_parser("plays", help="short items, thousands")
    usual = plays.Length()
    one.add_argument("--items", type=int, default=usual.plays, help="counted, after the warm-up")
    one.add_argument("--warm-up", type=int, default=usual.warm, help="items before")
    one.add_argument("--fill", type=int, default=usual.fill, help="orders remembered before")
    one.add_argument("--seed", type=int, default=1)
    one = parts.add_parser("fleet", help="a thousand nodes whose broker is restarted")
    one.add_argument("--nodes", type=int, default=1_000)
    one.add_argument("--down", type=float, nargs="+", default=[0.0, 15.0], help="seconds, one restart each")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # also where a shell put it in the background, deaf to SIGINT
        signal.signal(number, _stop)
    with tempfile.TemporaryDirectory(prefix="loa-soak-") as name:
        folder = Path(name)
        if arguments.part == "fleet":
            found = fleet.run(folder, nodes=arguments.nodes, down_s=tuple(arguments.down), say=_say)
        elif arguments.part == "relay":
            found = [
                relay.run(folder, seconds=arguments.seconds, warm_s=arguments.warm_up, hls=arguments.hls, say=_say)
            ]
        else:
            length = plays.Length(arguments.items, arguments.warm_up, arguments.fill)
            found = [plays.run(folder, length=length, seed=arguments.seed, say=_say)]
    print(*found, sep="\n")
    return 1 if any(each.missed for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
