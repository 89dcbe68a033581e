"""A broker: where it is, and why it failed in words a technician knows.

Thread: that of the connection (link). Standard library only.
"""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from agent.messages.events import LinkFault
from agent.messages.sentences import Sentence

_CERTIFICATE_FAULTS = {
    9: Sentence("the broker's certificate is not yet valid: is this node's clock right?"),
    10: Sentence("the broker's certificate has expired"),
    18: Sentence("the broker's certificate is not from our CA"),
    19: Sentence("the broker's certificate is not from our CA"),
    20: Sentence("the broker's certificate is not from our CA"),
    21: Sentence("the broker's certificate is not from our CA"),
    62: Sentence("the broker's certificate is for another host name"),
    64: Sentence("the broker's certificate is for another address"),
}
"""By OpenSSL's X509_V_ERR number."""

_ALERTS = {
    "CERTIFICATE_EXPIRED": Sentence("the broker says that this node's certificate has expired"),
    "CERTIFICATE_REQUIRED": Sentence("the broker wants a certificate of this node"),
    "HANDSHAKE_FAILURE": Sentence("the broker wants a certificate of this node, or speaks no common TLS"),
    "CERTIFICATE_REVOKED": Sentence("the broker says that this node's certificate is revoked"),
    "UNKNOWN_CA": Sentence("the broker does not know the CA of this node's certificate"),
    "BAD_CERTIFICATE": Sentence("the broker does not accept this node's certificate"),
    "ACCESS_DENIED": Sentence("the broker does not let this node's certificate in"),
    "WRONG_VERSION_NUMBER": Sentence("the broker does not speak TLS on this port"),
    "PROTOCOL_VERSION": Sentence("the broker speaks no TLS that is new enough"),
    "KEY_VALUES_MISMATCH": Sentence("certificate and key do not belong together"),
    "UNEXPECTED_EOF": Sentence("the broker closed the connection during the TLS handshake"),
}
"""By the end of OpenSSL's reason."""

_NOT_LET_IN = (
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REQUIRED",
    "CERTIFICATE_REVOKED",
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "ACCESS_DENIED",
)
"""Of these, what the broker says of this node."""


_REASON_CODES = {
    0x00: Sentence("the broker ended the connection and gave no reason"),
    0x81: Sentence("the broker found our packet malformed"),
    0x87: Sentence("the broker says that this node is not authorised"),
    0x89: Sentence("the broker is busy"),
    0x8B: Sentence("the broker is shutting down"),
    0x8D: Sentence("the broker has not heard from us for too long"),
    0x8E: Sentence("session taken over: another machine uses this node's name (a copied card?)"),
    0x93: Sentence("we sent more at once than the broker takes"),
    0x95: Sentence("our packet is too large for the broker"),
    0x97: Sentence("the broker's quota is exceeded"),
    0x98: Sentence("the broker's administrator ended the connection"),
    0x9F: Sentence("the broker limits the rate of connections"),
}
"""Of MQTT 5; others go by their English name in the standard."""

_FAULTS = {
    0x85: LinkFault.NOT_AUTHORISED,  # client identifier not valid
    0x86: LinkFault.NOT_AUTHORISED,  # bad user name or password
    0x87: LinkFault.NOT_AUTHORISED,
    0x8A: LinkFault.NOT_AUTHORISED,  # banned
    0x8C: LinkFault.NOT_AUTHORISED,  # bad authentication method
    0x8E: LinkFault.TAKEN_OVER,
}
"""What somebody has to mend: no number of attempts will."""


@dataclass(frozen=True, slots=True)
class Broker:
    """One address that the core may choose."""

    url: str
    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """From `mqtts://host:port` or `mqtt://host:port`; the port may be left out.

        Raises:
            ValueError: it is neither.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError(f"a broker is mqtts://host:port or mqtt://host:port, not {url!r}")
        tls = parts.scheme == "mqtts"
        return cls(url, parts.hostname, parts.port or (8_883 if tls else 1_883), tls)


def why(error: Exception) -> str:
    """One clear clause on what went wrong between us and the broker; a `Sentence` where the words are ours."""
    match error:
        case ssl.SSLCertVerificationError():
            other = Sentence("the broker's certificate: {why}", why=error.verify_message)
            return _CERTIFICATE_FAULTS.get(error.verify_code, other)
        case ssl.SSLError():
            return _tls_alert(error)
        case socket.gaierror():
            return Sentence("the broker's name cannot be resolved ({why})", why=error.strerror)
        case UnicodeError():
            return Sentence("the broker's name is no host name")
        case ConnectionRefusedError():
            return Sentence("nothing listens at the broker's address")
        case TimeoutError():
            return Sentence("the broker does not answer")
        case ConnectionResetError() | BrokenPipeError():
            return Sentence("the broker cut the connection")
        case OSError(filename=str() | Path() as name):
            return f"{name}: {error.strerror}"
        case OSError(strerror=str() as text):
            return text
    return str(error)


def _tls_alert(error: ssl.SSLError) -> Sentence:
    reason = error.reason or type(error).__name__
    for ending, text in _ALERTS.items():
        if ending in reason.upper():
            return text
    return Sentence("TLS failed ({reason})", reason=reason)


def said(code: int, name: str) -> Sentence:
    """What an MQTT reason code means to us; `name` is the standard's."""
    return _REASON_CODES.get(code) or Sentence("{name} ({code})", name=name, code=f"0x{code:02X}")


def fault_of_code(code: int) -> LinkFault | None:
    """What an MQTT reason code says that somebody has to mend, if anything."""
    return _FAULTS.get(code)


def fault_of_error(error: Exception | None) -> LinkFault | None:
    """The same of what went wrong below MQTT."""
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLCertVerificationError):
        return None
    reason = (error.reason or "").upper()
    return LinkFault.NOT_AUTHORISED if reason.endswith(_NOT_LET_IN) else None
