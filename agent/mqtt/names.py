"""Where the brokers are: their names looked up, and where they were found last.

Thread: `ask` is called by the thread of a connection, which is answered on one that lives as long as the lookup
(`link-dns`): getaddrinfo has no timeout. glibc asks a name server that does not answer again after 5 s only, so whoever
waits asks anew beside the first question.
"""

import socket
import threading
from collections.abc import Callable, Sequence

Resolve = Callable[[str, int], Sequence[str]]
"""(name, port) to IP addresses, the best first; may take any time, raises OSError or UnicodeError."""
Answer = Sequence[str] | Exception

MAX_LOOKUPS = 4
"""Under way at once: where the name server is dead they take 10 to 30 s each, and there shall not be ever more."""


def system_resolve(name: str, port: int) -> list[str]:
    """What the system says of this name.

    Raises:
        OSError: there is no such name, or nobody to ask.
        UnicodeError: it is no name at all.
    """
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_literal(host: str) -> bool:
    """Whether this is an address already."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, UnicodeError):
            continue
        return True
    return False


class Names:
    """Shared by all connections of a link, which come one after the other."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._lookups: list[threading.Thread] = []
        self._known: dict[str, tuple[str, ...]] = {}

    def known(self, host: str) -> tuple[str, ...]:
        """Where it was found last, empty if never: better than nothing while no name server answers."""
        return (host,) if is_literal(host) else self._known.get(host, ())

    def ask(self, host: str, port: int, answer: Callable[[Answer], None]) -> bool:
        """Look it up, unless too many lookups hang already; `answer` is called on the lookup's thread."""
        self._lookups = [thread for thread in self._lookups if thread.is_alive()]
        if len(self._lookups) >= MAX_LOOKUPS:
            return False

        def look_up() -> None:
            try:
                found = self._known[host] = tuple(self._resolve(host, port))
                answer(found)
            except (OSError, UnicodeError) as error:
                answer(error)

        thread = threading.Thread(target=look_up, name="link-dns", daemon=True)
        self._lookups.append(thread)
        thread.start()
        return True
