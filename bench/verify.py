"""What the whole path of one command costs beside the raw Ed25519 verification in it (budget: 1.5 times).

`python -m bench.verify`. All rows are measured in one run, interleaved, by the thread's own CPU time, so that a
busy machine disturbs them little and alike.
"""

import json
import sys
import time
from collections.abc import Callable

from tests.signing import OPERATOR, STRANGER, Pole, claims, order, play

ROUNDS = 200
CALLS_A_ROUND = 20
BUDGET = 1.5
ZERO_2W = 12
"""How many times slower a Raspberry Pi Zero 2 W is taken to be."""


RAW, WHOLE = "raw Ed25519 verify (OpenSSL)", "whole path, accepted"


def run() -> bool:
    """Print the table: microseconds a call (the least disturbed round), and the ratio to the raw verification.

    Returns:
        Whether every order was within the budget.
    """
    ratios: list[float] = []
    four = play(sources=_four_sources())
    orders = {
        "a file, 0.7 KiB": order(play()),
        "four sources, 4 KiB": order(four),
        "a file, members sorted": _sorted(play()),
        "four sources, members sorted": _sorted(four),
    }
    print(f"{'verify':44} {'us here':>9} {'Zero 2 W':>9} {'x raw':>7}")
    for name, envelope in orders.items():
        costs = _measure(_cases(envelope))
        for row, cost in costs.items():
            print(f"{row + ': ' + name:44} {cost:9.1f} {cost * ZERO_2W:9.0f} {cost / costs[RAW]:7.2f}")
        whole = costs[WHOLE] / costs[RAW]
        ratios.append(whole)
        print(f"whole path {whole:.2f} x raw, budget {BUDGET} x: {'held' if whole <= BUDGET else 'MISSED'}")
    for row, cost in _measure(_junk()).items():
        print(f"{row:44} {cost:9.1f} {cost * ZERO_2W:9.0f}")
    return max(ratios) <= BUDGET


def _sorted(command: dict[str, object]) -> bytes:
    """As another control server may write it: compact JSON, the members in an order that is not ours."""
    text = json.dumps(claims(command), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return OPERATOR.compact(text.encode())


def _four_sources() -> list[object]:
    speech = {"speech": {"text": "Nước lên nhanh. " * 125, "language": "vi"}}
    return [*({"relay": {"uri": f"https://vov{number}.example/live"}} for number in range(3)), speech]


def _cases(good: bytes) -> dict[str, Callable[[], object]]:
    pole = Pole()
    signing_input, _, signature = good.rpartition(b".")
    other = b"A" if signature[20:21] != b"A" else b"B"
    forged = signing_input + b"." + signature[:20] + other + signature[21:]
    octets = OPERATOR.private.sign(signing_input)
    public = OPERATOR.private.public_key()
    return {
        RAW: lambda: public.verify(octets, signing_input),
        WHOLE: lambda: pole.obeys(good),
        "forged signature": lambda: pole.refuses(forged),
    }


def _junk() -> dict[str, Callable[[], object]]:
    pole = Pole()
    stranger = order(play(), STRANGER)
    return {
        "unknown key": lambda: pole.refuses(stranger),
        "junk, 1 KiB": lambda: pole.refuses(b"x" * 1_024),
        "junk, 256 KiB of [": lambda: pole.refuses(b'{"a":' + b"[" * 262_000),
    }


def _measure(cases: dict[str, Callable[[], object]]) -> dict[str, float]:
    rounds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            begun = time.thread_time()
            for _ in range(CALLS_A_ROUND):
                call()
            rounds[name].append((time.thread_time() - begun) / CALLS_A_ROUND * 1e6)
    return {name: min(taken) for name, taken in rounds.items()}


if __name__ == "__main__":
    sys.exit(not run())
