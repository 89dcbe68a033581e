"""What came of orders, counted: every outcome and every record, each report once. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rig.soak.wishes import Wish


@dataclass
class Tally:
    """Counts for ever, and keeps of a report no more than how it ended until its order is settled."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """By jti."""
    records: Counter[str] = field(default_factory=Counter)
    """By item."""
    underruns: int = 0
    wrong: list[str] = field(default_factory=list)
    """Outcomes and results other than expected, and what never came."""
    _open: dict[str, Wish] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    @property
    def waits(self) -> bool:
        """Whether something that must come has not come yet."""
        return bool(self._open)

    def expect(self, wishes: Iterable[Wish]) -> None:
        """These were ordered."""
        self._open.update({wish.jti: wish for wish in wishes if wish.outcome is not None})

    def count(self, claims: Mapping[str, Any]) -> None:
        """A report has come; a copy of one counts nothing."""
        key = claims["boot"], claims["seq"]
        if key in self._seen:
            return
        self._seen.add(key)
        report = claims["report"]
        if report["type"] == "command_outcome":
            self.outcomes[report["jti"]] += 1
            self._said[report["jti"]] = _ended(report, report["outcome"])
        elif report["type"] == "play_record":
            self.records[report["item"]] += 1
            self._said[report["item"]] = _ended(report, report["result"])
            self.underruns += report.get("underruns", 0)
        self._settle()

    def give_up(self) -> None:
        """What has not come by now does not come."""
        self.wrong += [f"{wish.what} {jti} {wish.item}: nothing came of it" for jti, wish in self._open.items()]
        self._open.clear()

    def _settle(self) -> None:
        for jti, wish in list(self._open.items()):
            if jti in self._said and (wish.item is None or wish.item in self._said):
                del self._open[jti]
                self._judge(wish)

    def _judge(self, wish: Wish) -> None:
        for name, expected in ((wish.jti, wish.outcome), (wish.item, wish.result)):
            if name is not None and (said := self._said.pop(name)).split()[0] != expected:
                self.wrong.append(f"{wish.what} {name}: {said} instead of {expected}")


def _ended(report: Mapping[str, Any], how: str) -> str:
    return f"{how} ({report.get('reason')}: {report.get('detail')})"
