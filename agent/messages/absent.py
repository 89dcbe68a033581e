"""The mark of an optional member that is not there: never null, so that `null` on the wire is refused."""

from msgspec import UNSET, UnsetType

__all__ = ["UNSET", "UnsetType"]
