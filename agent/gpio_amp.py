"""Amplifier relays by zone, with a dead man's handle: no turn of the loop, no amplifier.

Owner threads: `switch`, `renew` belong to the loop; `all_off` and `close` may be called from any thread; `dead-man` is
this module's own, and waits without waking while all relays are open. Invariants: no relay stays on that nobody renewed
for `dead_man_s`; once the handle has been let go nothing switches on; off at start, at `close`, and if the thread dies.

No lock: only the loop switches on, and looks afterwards whether the handle was let go meanwhile, so that whichever
thread comes last leaves the line off.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from agent.gpio.lines import Factory, GpioError, Line, Lines
from agent.messages.events import Event, RelayFailed, ThreadDied

__all__ = ["DEAD_MAN_S", "GpioAmplifiers", "GpioError", "Line", "amp_off"]

DEAD_MAN_S = 1.75
"""A turn takes milliseconds: so long without one is a hang. The relay has fallen within 2 s, looks and line included,
and before systemd's watchdog (10 s) kills."""
LOOKS = 4
"""Only a loop that did not turn between so many looks of the thread is taken for hung: where the whole process stood
still (an SD card, a host that gives no processor) this thread did too, and the loop gets its turn first."""
INSIST_S = 0.1
"""How often a released handle switches off anew, in case a hanging turn comes back in the middle of a switch."""
JOIN_S = 1.0
"""The thread only ever waits on its queue; if it does not end in this time, leaving it behind is the lesser evil."""


class GpioAmplifiers:
    """The relays of all zones. Failures become events; only the constructor raises."""

    def __init__(
        self,
        *,
        lines: Mapping[str, Line],
        factory: Factory,
        chip: int | None,
        trace: Path | None,
        post: Callable[[Event], None],
        dead_man_s: float = DEAD_MAN_S,
    ) -> None:
        """Claim the lines, inactive, and start the thread.

        Raises:
            GpioError: the lines cannot be had.
        """
        self._post = post
        self._dead_man_s = dead_man_s
        self._lines = Lines(lines=lines, factory=factory, chip=chip, trace=trace)
        self._on = dict.fromkeys(lines, False)
        self._renewed_s = time.monotonic()
        self._seen_s = self._renewed_s
        self._looks = 0
        self._released = False
        self._closed = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread = Thread(target=self._watch, name="dead-man", daemon=True)
        self._thread.start()

    @property
    def chip(self) -> int | None:
        """The number of the gpiochip whose lines these are; None on a simulated board."""
        return self._lines.chip

    def switch(self, zone: str, on: bool) -> None:
        """Close (`on`) or open the zone's relay; `RelayFailed` is posted where that cannot be done."""
        if not on:
            self._off(zone)
        elif self._released or self._closed:
            self._post(RelayFailed(zone, "refused: the dead man's handle was let go, or the amplifiers are closed"))
        else:
            self._switch_on(zone)

    def _switch_on(self, zone: str) -> None:
        self.renew()
        self._on[zone] = True  # before the line: the thread must know of every relay that may be on
        self._wake.put(None)
        try:
            self._lines.relays[zone].on()
        except Exception as error:  # noqa: BLE001 - lgpio.error is no relative of anything
            self._post(RelayFailed(zone, f"could not be switched on: {error}"))
        if self._released or self._closed:
            self._off(zone)

    def _off(self, zone: str, *, tell: bool = True) -> None:
        relay = self._lines.relays.get(zone)
        if relay is None:
            return  # closed: off already
        try:
            relay.off()
        except Exception as error:  # noqa: BLE001 - lgpio.error is no relative of anything
            if tell:
                self._post(RelayFailed(zone, f"could not be switched off: {error}"))
        else:
            self._on[zone] = False

    def renew(self) -> None:
        """The loop is alive: called once a turn, and at least every `dead_man_s` while a relay is on."""
        self._renewed_s = time.monotonic()

    def all_off(self) -> None:
        """Open every relay, whatever is believed of its state."""
        for zone in self._on:
            self._off(zone)

    def close(self) -> None:
        """All off, then let go of the lines; bounded, may be called again."""
        if self._closed:
            return
        self._closed = True
        self.all_off()
        self._wake.put(None)
        self._thread.join(JOIN_S)
        self._lines.close()

    def _watch(self) -> None:
        try:
            while not self._closed:
                self._wait()
                if not self._closed and self._overdue():
                    self._let_go()
        except BaseException as error:
            self._released = True
            self.all_off()
            self._post(ThreadDied("dead-man", repr(error)))
            raise

    def _wait(self) -> None:
        if self._released:
            patience_s: float | None = INSIST_S
        elif any(self._on.values()):
            patience_s = self._dead_man_s / LOOKS
            left_s = self._renewed_s + self._dead_man_s - time.monotonic()
            if self._looks >= LOOKS:
                patience_s = min(patience_s, max(0.0, left_s))
        else:
            patience_s = None
        try:
            self._wake.get(timeout=patience_s)
        except Empty:
            return

    def _overdue(self) -> bool:
        if self._released:
            return True
        renewed_s = self._renewed_s
        self._looks = self._looks + 1 if renewed_s == self._seen_s else 1
        self._seen_s = renewed_s
        late = time.monotonic() - renewed_s >= self._dead_man_s
        return late and self._looks >= LOOKS and any(self._on.values())

    def _let_go(self) -> None:
        first, self._released = not self._released, True
        for zone in self._on:
            self._off(zone, tell=first)  # a loop that hangs takes no second telling
        if first:
            self._post(ThreadDied("loop", f"no turn for {self._dead_man_s:g} s with a relay on: amplifiers off"))


def amp_off(*, lines: Mapping[str, Line], factory: Factory, chip: int | None, trace: Path | None) -> None:
    """Leave every line inactive, without a click, for a process that could not do so itself; may be repeated.

    Raises:
        GpioError: the lines cannot be had; held by a living agent, which is then to be asked instead.
    """
    Lines(lines=lines, factory=factory, chip=chip, trace=trace).close()
