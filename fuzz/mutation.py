"""Bending that keeps enough of the form to come past the first check: JSON as a tree, JWS by its pieces, YAML by lines.

Pure but for the `scramble` that is handed in (the fuzzer's own mutation of plain bytes) and the seeded chance.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.signing import NOW, base64url

Scramble = Callable[[bytes], bytes]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 100, 101, 300, 14_400, 14_401, NOW, NOW + 300, NOW + 301, NOW + 86_401, 2**31, 2**63,
    2**64, 10**30, 253_402_300_799, 253_402_300_800, 1.0, 1e9, "", " ", "a", "x" * 64, "x" * 65, "x" * 201, "é",
    "e\u0301", "\u0000", "\u202e", "\ud800", "all", "site:hoang-dao", "node:hoang-dao/hd-03", "none", "EdDSA",
    "Ed25519", "loa-command+jws", "loa-report+jws", "hd-operator", "hd-chair", "hd-root", "commune operator",
    "commune chair", "root", "play", "stop", "time", "set_trust", "set_schedule", "set_policy", "live", "emergency",
    "normal",
    "0f" * 16, "ab" * 32, "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01T00:00:00", [], {},
    [[]], {"": None}, ["play.emergency"], {"play.emergency": 2},
)  # fmt: skip
"""Values at, or just beyond, some bound of the protocol."""

LINES = (
    "site: hoang-dao", "heartbeat_s: 60", "? [a]", "- x", "a: &a b", "b: *a", "<<: {}", "%YAML 1.1", "---", "...",
    "\t", "x: !!python/object/apply:os.system [id]", "x: !!int 5", "x: 1e999", "x: 0o7", "x: 12:30", "x: |", "x: >-",
    "'", '"', "mqtt: {insecure: true}", "kids: [root, root]", "threshold: 0", "x: [[[[[[[[[[1]]]]]]]]]]",
    '"\\U00110000"', "\ufeff",
)  # fmt: skip
"""Lines that YAML could be led astray by."""

DEEP = 8
"""How far down a tree is walked for something to bend."""


@dataclass(slots=True)
class Bender:
    """One act of bending: its chance, and the fuzzer's mutation of plain bytes."""

    chance: Random
    scramble: Scramble

    def json(self, text: bytes) -> bytes:
        """One place of a JSON text changed, or its bytes where it is none."""
        if self.chance.random() < 0.1:
            return self.scramble(text)
        try:
            tree = self._bent(json.loads(text), DEEP)
            spelt = json.dumps(tree, ensure_ascii=self.chance.random() < 0.2, separators=(",", ":"))
        except (ValueError, RecursionError):
            return self.scramble(text)
        if self.chance.random() < 0.03:  # a member twice: no tree can say it
            spelt = spelt.replace(',"', ',"exp":1,"', 1)
        return spelt.encode("utf-8", "surrogatepass")

    def _bent(self, value: Any, deeper: int) -> Any:
        if isinstance(value, dict) and value and deeper and self.chance.random() < 0.8:
            name = self.chance.choice(list(value))
            return {**value, name: self._bent(value[name], deeper - 1)}
        if isinstance(value, list) and value and deeper and self.chance.random() < 0.8:
            place = self.chance.randrange(len(value))
            return [*value[:place], self._bent(value[place], deeper - 1), *value[place + 1 :]]
        if self.chance.random() < 0.4:
            return self.chance.choice(VALUES)
        return self._altered(value)

    def _altered(self, value: Any) -> Any:
        chance = self.chance
        if isinstance(value, dict):
            return self._regrouped(value)
        if isinstance(value, list):
            return chance.choice(
                (value[1:], value + value[:1], value[::-1], [*value, chance.choice(VALUES)], value * 9)
            )
        if isinstance(value, bool) or value is None:
            return chance.choice((True, False, None, "true", 1))
        if isinstance(value, int):
            return chance.choice(
                (value + 1, value - 1, -value, value * 2, str(value), float(value % 2**53), value + 86_400)
            )
        return self.scramble(str(value).encode("utf-8", "replace")).decode("utf-8", "replace")

    def _regrouped(self, members: dict[str, Any]) -> dict[str, Any]:
        names = list(members)
        if not names or self.chance.random() < 0.3:
            return {
                **members,
                self.chance.choice(("x", "crit", "b64", "type", "kid", "all", "")): self.chance.choice(VALUES),
            }
        name = self.chance.choice(names)
        if self.chance.random() < 0.5:
            return {other: members[other] for other in names if other != name}
        return {**members, name: members[self.chance.choice(names)]}

    def envelope(self, text: bytes, others: Sequence[bytes]) -> bytes:
        """One piece of a JWS changed and spelt canonically again, or taken from another one."""
        act = self.chance.random()
        if act < 0.1:
            return self.scramble(text)
        if text[:1] == b"{":
            return self._general(text, others)
        pieces = text.split(b".")
        place = self.chance.randrange(len(pieces))
        other = self.chance.choice(others).split(b".")
        if act < 0.3 and len(other) == len(pieces):
            pieces[place] = other[place]
        elif act < 0.35 and len(pieces) == 3:
            part = {"protected": pieces[0].decode("latin-1"), "signature": pieces[2].decode("latin-1")}
            return json.dumps({"payload": pieces[1].decode("latin-1"), "signatures": [part, part]}).encode()
        else:
            pieces[place] = self._piece(pieces[place])
        return b".".join(pieces)

    def _general(self, text: bytes, others: Sequence[bytes]) -> bytes:
        try:
            members = json.loads(text)
            place = self.chance.randrange(len(members["signatures"]))
            part = members["signatures"][place]
            act = self.chance.random()
            if act < 0.1:
                pieces = part["protected"], members["payload"], part["signature"]
                return ".".join(pieces).encode()
            if act < 0.3:
                return self.json(text)
            if act < 0.5:
                donor = json.loads(self.chance.choice([each for each in others if each[:1] == b"{"]))
                part.update(self.chance.choice(donor["signatures"]))
            elif act < 0.6:
                members["payload"] = self._piece(members["payload"].encode()).decode("latin-1")
            else:
                name = self.chance.choice(("protected", "signature"))
                part[name] = self._piece(part[name].encode()).decode("latin-1")
            return json.dumps(members, separators=(",", ":")).encode()
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return self.scramble(text)

    def _piece(self, spelt: bytes) -> bytes:
        if self.chance.random() < 0.1:
            return self.scramble(spelt)
        try:
            plain = urlsafe_b64decode(spelt + b"=" * (-len(spelt) % 4))
        except ValueError:
            return self.scramble(spelt)
        return base64url(self.json(plain) if plain[:1] == b"{" else self.scramble(plain))

    def chosen(self, data: bytes) -> bytes:
        """A JSON text behind one byte that chooses its signers."""
        first = bytes([self.chance.randrange(256)]) if self.chance.random() < 0.2 or not data else data[:1]
        return first + self.json(data[1:])

    def yaml(self, text: bytes) -> bytes:
        """Lines dropped, doubled, moved, exchanged, or one of them scrambled."""
        lines = text.split(b"\n")
        place, chance = self.chance.randrange(len(lines)), self.chance
        act = chance.random()
        if act < 0.1:
            return self.scramble(text)
        if act < 0.25:
            del lines[place]
        elif act < 0.4:
            lines.insert(place, chance.choice(LINES).encode())
        elif act < 0.5:
            lines.insert(place, b" " * chance.randrange(8) + chance.choice(lines).lstrip())
        elif act < 0.7:
            name, colon, value = lines[place].partition(b":")
            word = json.dumps(chance.choice(VALUES)).encode()
            lines[place] = name + colon + b" " + (word if chance.random() < 0.7 else self.scramble(value))
        else:
            lines[place] = self.scramble(lines[place])
        return b"\n".join(lines)
