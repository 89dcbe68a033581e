"""`make fuzz`: every target in turn, each in a process of its own, and one line about each.

Ends with 1 if a promise broke, or if a target's memory grew. What was found on the way (build/fuzz/TARGET/corpus) is
begun with the next time; a case that broke a promise stands beside it as finding-*, and `--again FILE` runs it alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.targets import Target, targets

BUILD = Path("build/fuzz")
MAX_GROWTH_KIB = 32 * 1024
"""Most that a target may grow once warm: libFuzzer keeps each case that found something new."""


def fuzz(target: Target, runs: int, seconds: float, seed: int) -> bool:
    """One target; whether all was well."""
    folder = BUILD / target.name
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    line = [sys.executable, "-m", "fuzz.one", target.name, f"--runs={runs}", f"--seconds={seconds}"]
    with (folder / "log").open("wb") as log:
        subprocess.run([*line, f"--seed={seed}", f"--folder={folder}"], stderr=log, stdout=log, check=False)  # noqa: S603
    if not result.exists():
        print(f"{target.name:12} BROKE: see {folder}/log")
        return False
    told = json.loads(result.read_text("ascii"))
    growth_kib = int(told["end_kib"]) - int(told["warm_kib"])
    flat = growth_kib <= MAX_GROWTH_KIB
    print(
        f"{target.name:12} {told['cases']:9,} cases in {told['seconds']:8,.1f} s, resident {told['warm_kib']:,} KiB"
        f" once warm, {told['end_kib']:,} KiB at the end ({growth_kib:+,}){'' if flat else ': GREW'}",
        flush=True,
    )
    return flat


def main() -> None:
    """All targets, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", help="default: all")
    parser.add_argument("--runs", type=int, default=100_000, help="cases in all; each target has its share (100000)")
    parser.add_argument("--seconds", type=float, default=1_800, help="longest time of one target (1800)")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer's chance; 0: another each time (1)")
    parser.add_argument("--again", type=Path, help="put this one file to the named target, without fuzzing")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loa-fuzz-") as folder:
        known = targets(Path(folder))
        strange = set(asked.target) - set(known)
        if strange:
            parser.error(f"no target {', '.join(strange)}; targets: {', '.join(known)}")
        chosen = [known[name] for name in asked.target or known]
        if asked.again:
            for target in chosen:
                target.ask(asked.again.read_bytes())
            return
    shares = sum(target.share for target in chosen)
    held = [fuzz(each, max(1, asked.runs * each.share // shares), asked.seconds, asked.seed) for each in chosen]
    sys.exit(not all(held))


main()
