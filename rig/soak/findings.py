"""What a long run has measured: a few plain lines, each beside its bound."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rig.soak.resources import COUNTED, MOST_GROWTH_KIB, Resources, more


@dataclass
class Findings:
    """Lines to print, and the bounds that were missed."""

    title: str
    lines: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """A figure without a bound."""
        self.lines.append(text)

    def expect(self, holds: bool, text: str) -> None:
        """A figure and whether it is within its bound."""
        self.lines.append(text if holds else f"{text}   MISSED")
        if not holds:
            self.missed.append(text)

    def expect_flat(self, warm: Sequence[Resources], later: Sequence[Resources]) -> None:
        """Memory within its bound; threads, files and sockets as they were: the highest of each, before and after."""
        self.tell(f"warm:  {warm[-1]}")
        self.tell(f"end:   {later[-1]}")
        for name, told in (("rss_kib", "RSS"), ("anon_kib", "anonymous RSS")):
            grown = more(warm, later, name)
            self.expect(grown < MOST_GROWTH_KIB, f"growth of {told}: {grown * 1_024 / 1e6:+.3f} MB (less than 1)")
        for name in COUNTED:
            grown = more(warm, later, name)
            self.expect(grown <= 0, f"growth of {name}: {grown:+d} (none)")

    def __str__(self) -> str:
        return "\n".join([f"\n{self.title}", *(f"  {line}" for line in self.lines)])
