"""One target under atheris (libFuzzer with coverage of our own bytecode): `python -m fuzz.one TARGET ...`.

A process of its own, since libFuzzer never returns. Ends by itself after so many cases or seconds; 1 and a file that
reproduces it where a promise broke. Memory is read from the kernel once warm and at the end.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["agent"], enable_loader_override=False):
    from fuzz.mutation import Bender
    from fuzz.targets import Target, targets

WARM_UP_CASES = 2_000
"""Cases until caches, interned strings and the fuzzer's own tables have their size; of a short run, a quarter."""
CASE_TIMEOUT_S = 120
"""A case that takes longer hangs, also on a machine that stands still for a while."""
MEMORY_LIMIT_MB = 1_024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_kib() -> int:
    """This process's resident memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES // 1024


class Run:
    """Counts the cases of one target and ends the process after the last."""

    def __init__(self, target: Target, runs: int, seconds: float, result: Path) -> None:
        self._target = target
        self._runs = runs
        self._result = result
        self._until_s = time.monotonic() + seconds
        self._since_s = time.monotonic()
        self._cases = 0
        self._warm_kib = 0

    def case(self, data: bytes) -> None:
        """One case; what it raises is a finding, and atheris's affair."""
        self._target.ask(data)
        self._cases += 1
        if self._cases == min(WARM_UP_CASES, max(1, self._runs // 4)):
            self._warm_kib = resident_kib()
        if self._cases >= self._runs or (self._cases % 64 == 0 and time.monotonic() > self._until_s):
            self._end()

    def bend(self, data: bytes, max_size: int, seed: int) -> bytes:
        """The target's own mutation, with libFuzzer's beneath it."""
        chance = Random(seed)  # noqa: S311  it must be repeatable
        bender = Bender(chance, lambda text: atheris.Mutate(text, max(max_size, len(text) + 1)))
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            data = self._target.bend(bender, data)
        return data[:max_size]

    def _end(self) -> None:
        told = {
            "cases": self._cases,
            "seconds": round(time.monotonic() - self._since_s, 1),
            "warm_kib": self._warm_kib or resident_kib(),
            "end_kib": resident_kib(),
        }
        self._result.write_text(json.dumps(told), "ascii")
        sys.stderr.flush()
        os._exit(0)  # libFuzzer has no other way back


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="corpus, findings and result")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loa-fuzz-") as scratch:
        target = targets(Path(scratch))[asked.target]
        seeds, corpus = Path(scratch) / "seeds", asked.folder / "corpus"
        for folder in (seeds, corpus):
            folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds):
            (seeds / f"{number:04}").write_bytes(seed)
        run = Run(target, asked.runs, asked.seconds, asked.folder / "result.json")
        flags = [f"-seed={asked.seed}", f"-max_len={target.max_bytes}", f"-timeout={CASE_TIMEOUT_S}", "-len_control=0",
                 f"-rss_limit_mb={MEMORY_LIMIT_MB}", f"-artifact_prefix={asked.folder}/finding-",
                 "-verbosity=1", str(corpus), str(seeds)]  # fmt: skip
        atheris.Setup([sys.argv[0], *flags], run.case, custom_mutator=run.bend)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
