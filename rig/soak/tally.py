"""What came of orders, counted: every outcome and every record, each report once. One owner thread."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rig.ear import Ear
from rig.soak.wishes import Wish


@dataclass
class Tally:
    """Counts for ever, keeps no report."""

    ear: Ear
    outcomes: Counter[str] = field(default_factory=Counter)
    """By jti."""
    records: Counter[str] = field(default_factory=Counter)
    """By item."""
    underruns: int = 0
    wrong: list[str] = field(default_factory=list)
    """Outcomes and results other than expected."""
    _said: dict[str, str] = field(default_factory=dict)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def take(self, timeout_s: float = 0.05) -> None:
        """Count what has arrived."""
        self.ear.take(timeout_s)
        for claims in self.ear.reports:
            key = claims["boot"], claims["seq"]
            if key in self._seen:
                continue
            self._seen.add(key)
            report = claims["report"]
            if report["type"] == "command_outcome":
                self.outcomes[report["jti"]] += 1
                self._said[report["jti"]] = f"{report['outcome']} ({report['reason']}: {report.get('detail')})"
            elif report["type"] == "play_record":
                self.records[report["item"]] += 1
                self._said[report["item"]] = f"{report['result']} ({report['reason']}: {report.get('detail')})"
                self.underruns += report.get("underruns", 0)
        for kept in (self.ear.reports, self.ear.envelopes, self.ear.heartbeats, self.ear.states):
            kept.clear()

    def settle(self, wishes: Iterable[Wish], timeout_s: float) -> None:
        """Wait until each has what it must have; what is other than expected, or missing, is noted in `wrong`."""
        left = {(wish.jti, wish.item): wish for wish in wishes if wish.outcome is not None}
        deadline_s = time.monotonic() + timeout_s
        while left:
            self.take()
            for key, wish in list(left.items()):
                if wish.jti in self._said and (wish.item is None or wish.item in self._said):
                    self._judge(left.pop(key))
            if left and time.monotonic() > deadline_s:
                self.wrong += [f"{jti} {item}: nothing came of it in {timeout_s:.0f} s" for jti, item in left]
                return
        self._said.clear()

    def _judge(self, wish: Wish) -> None:
        for name, expected in ((wish.jti, wish.outcome), (wish.item, wish.result)):
            if name is not None and self._said[name].split()[0] != expected:
                self.wrong.append(f"{wish.what} {name}: {self._said[name]} instead of {expected}")
