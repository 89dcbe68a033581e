"""TLS to a broker: whom we trust there, how much we read at once.

Thread: that of the connection. Standard library only. Invariants: the private CA and nothing else is trusted, the host
name is checked, nothing below TLS 1.2 is spoken.
"""

import ssl
from pathlib import Path

MAX_RECEIVE_BYTES = 2 * 1024 * 1024
"""Largest MQTT packet that is read at all. MQTT 5 brokers keep to our 264 KiB; this stops those that do not."""
MAX_READ_BYTES = 64 * 1024
"""Bytes asked of TLS at once: Python reserves that much for each read."""

_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which Python has no name for."""


class BoundedSocket(ssl.SSLSocket):
    """Refuses to begin a packet beyond `MAX_RECEIVE_BYTES`; keeps why reading failed, which paho forgets."""

    last_error: OSError | None = None

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
