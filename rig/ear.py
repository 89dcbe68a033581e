"""What a site's nodes say, sorted and waited for: states, heartbeats, and reports each once.

mosquitto_sub hears it (`rig.listener`); signatures are the business of `control` and of the tests.
"""

import base64
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rig.listener import BrokerError, Listener
from rig.sound import PATIENCE_S


class Ear:
    """Everything the nodes said, by kind, in the order it was heard; one owner thread asks."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.states: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        """Claims of reports, copies included; signatures are `control`'s and the tests' business (`envelopes`)."""
        self.envelopes: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()

    def take(self, timeout_s: float = 0.05) -> None:
        """Sort in what has arrived."""
        try:
            heard = self._listener.next(timeout_s)
        except BrokerError:
            return
        match heard.topic.rsplit("/", 1)[-1]:
            case "state":
                self.states.append(json.loads(heard.payload))
            case "heartbeat":
                self.heartbeats.append(json.loads(heard.payload))
            case "report":
                self.envelopes.append(heard.payload)
                self.reports.append(opened_payload(heard.payload))

    def wait(self, condition: Callable[[], bool], *, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Hear on until `condition` holds.

        Raises:
            TimeoutError: it did not in time; the message has what was heard last.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout_s} s; last reports: {self.reports[-3:]}")
            self.take()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The reports of one type, each once (told apart by boot and seq)."""
        unique = {(each["boot"], each["seq"]): each["report"] for each in self.reports}
        return [report for report in unique.values() if report["type"] == kind]

    def outcome(self, jti: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The outcome of this command, waited for."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.of("command_outcome") if each["jti"] == jti]

        self.wait(lambda: bool(found()), what=f"outcome of {jti}", timeout_s=timeout_s)
        return found()[0]

    def record(self, item: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The play record of this item, waited for."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.of("play_record") if each["item"] == item]

        self.wait(lambda: bool(found()), what=f"record of {item}", timeout_s=timeout_s)
        return found()[0]


def opened_payload(jws: bytes) -> dict[str, Any]:
    """The payload of a compact JWS, nothing verified."""
    body = jws.split(b".")[1]
    document = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    assert isinstance(document, dict)
    return document
