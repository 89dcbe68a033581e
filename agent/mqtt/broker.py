"""A broker: where it is, whom we trust there, how much we read at once, and why it failed in words a technician knows.

Thread: that of the connection (link). Standard library only. Invariants: the private CA and nothing else is trusted,
the host name is checked, nothing below TLS 1.2 is spoken.
"""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

MAX_RECEIVE_BYTES = 2 * 1024 * 1024
"""Largest MQTT packet that is read at all. MQTT 5 brokers keep to our 264 KiB; this stops those that do not."""
MAX_READ_BYTES = 64 * 1024
"""Bytes asked of TLS at once: Python reserves that much for each read."""

_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which Python has no name for."""

_CERTIFICATE_FAULTS = {
    9: "the broker's certificate is not yet valid: is this node's clock right?",
    10: "the broker's certificate has expired",
    18: "the broker's certificate is not from our CA",
    19: "the broker's certificate is not from our CA",
    20: "the broker's certificate is not from our CA",
    21: "the broker's certificate is not from our CA",
    62: "the broker's certificate is for another host name",
    64: "the broker's certificate is for another address",
}
"""By OpenSSL's X509_V_ERR number."""

_ALERTS = {
    "CERTIFICATE_EXPIRED": "the broker says that this node's certificate has expired",
    "CERTIFICATE_REQUIRED": "the broker wants a certificate of this node",
    "HANDSHAKE_FAILURE": "the broker wants a certificate of this node, or speaks no common TLS",
    "CERTIFICATE_REVOKED": "the broker says that this node's certificate is revoked",
    "UNKNOWN_CA": "the broker does not know the CA of this node's certificate",
    "BAD_CERTIFICATE": "the broker does not accept this node's certificate",
    "ACCESS_DENIED": "the broker does not let this node's certificate in",
    "WRONG_VERSION_NUMBER": "the broker does not speak TLS on this port",
    "PROTOCOL_VERSION": "the broker speaks no TLS that is new enough",
    "KEY_VALUES_MISMATCH": "certificate and key do not belong together",
    "UNEXPECTED_EOF": "the broker closed the connection during the TLS handshake",
}
"""By the end of OpenSSL's reason."""


_REASON_CODES = {
    0x00: "the broker ended the connection and gave no reason",
    0x81: "the broker found our packet malformed",
    0x87: "the broker says that this node is not authorised",
    0x89: "the broker is busy",
    0x8B: "the broker is shutting down",
    0x8D: "the broker has not heard from us for too long",
    0x8E: "session taken over: another machine uses this node's name (a copied card?)",
    0x93: "we sent more at once than the broker takes",
    0x95: "our packet is too large for the broker",
    0x97: "the broker's quota is exceeded",
    0x98: "the broker's administrator ended the connection",
    0x9F: "the broker limits the rate of connections",
}
"""Of MQTT 5; others go by their English name in the standard."""


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


class BoundedSocket(ssl.SSLSocket):
    """Refuses to begin a packet beyond `MAX_RECEIVE_BYTES`; keeps why reading or writing failed, which paho forgets."""

    last_error: OSError | None = None

    def do_handshake(self, block: bool = False) -> None:
        """Closes the socket where it fails: paho forgets that it was open.

        Raises:
            OSError: as `ssl` does.
        """
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """At most `MAX_READ_BYTES`.

        Raises:
            OSError: also where more is asked for than any packet of ours may hold.
        """
        try:
            if buflen > MAX_RECEIVE_BYTES:
                raise ConnectionAbortedError(f"the broker sent a packet of {buflen} bytes")
            return super().recv(min(buflen, MAX_READ_BYTES), flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.last_error = error
            raise


def context(*, ca: Path, certificate: Path | None, key: Path | None, dates: bool = True) -> ssl.SSLContext:
    """Trust `ca` alone; show `certificate`. Read anew for each connection, so that a renewed one needs no restart.

    Chain and host name are checked in any case. `dates` false leaves out the dates alone, which OpenSSL would compare
    with a wall clock known to be wrong: in 1970 every certificate of today is "not yet valid" (ADR 0017).

    Raises:
        OSError: a file is missing, unreadable, or not what it should be.
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.sslsocket_class = BoundedSocket
    tls.load_verify_locations(cafile=ca)
    if not dates:
        tls.verify_flags |= _NO_CHECK_TIME
    if certificate is not None:
        tls.load_cert_chain(certificate, key, password=_no_password)
    return tls


def _no_password() -> str:
    """OpenSSL would ask at the terminal, and wait for ever."""
    raise PermissionError("the key is encrypted, and nobody is here to type a password")


def why(error: Exception) -> str:
    """One clear clause on what went wrong between us and the broker."""
    match error:
        case ssl.SSLCertVerificationError():
            return _CERTIFICATE_FAULTS.get(error.verify_code, f"the broker's certificate: {error.verify_message}")
        case ssl.SSLError():
            return _tls_alert(error)
        case socket.gaierror():
            return f"the broker's name cannot be resolved ({error.strerror})"
        case UnicodeError():
            return "the broker's name is no host name"
        case ConnectionRefusedError():
            return "nothing listens at the broker's address"
        case TimeoutError():
            return "the broker does not answer"
        case ConnectionResetError() | BrokenPipeError():
            return "the broker cut the connection"
        case OSError(filename=str() | Path() as name):
            return f"{name}: {error.strerror}"
        case OSError(strerror=str() as text):
            return text
    return str(error)


def _tls_alert(error: ssl.SSLError) -> str:
    reason = error.reason or type(error).__name__
    for ending, text in _ALERTS.items():
        if ending in reason.upper():
            return text
    return f"TLS failed ({reason})"


def said(code: int, name: str) -> str:
    """What an MQTT reason code means to us; `name` is the standard's."""
    return _REASON_CODES.get(code, f"{name} (0x{code:02X})")
