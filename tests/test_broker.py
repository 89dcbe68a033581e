"""Whom the node's TLS lets be its broker: real handshakes in memory, with certificates good, early, ended and wrong."""

import ssl
from pathlib import Path

import pytest

from agent.mqtt.broker import why
from agent.mqtt.tls import context
from rig.certificates import Authority, Identity


def shake_hands(node: ssl.SSLContext, broker: Identity, host: str = "localhost") -> None:
    """A whole TLS handshake; raises what the node raises."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(broker.certificate, broker.key)
    to_node, to_broker = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = node.wrap_bio(to_node, to_broker, server_hostname=host)
    theirs = server.wrap_bio(to_broker, to_node, server_side=True)
    for _ in range(5):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        if ours.version() and theirs.version():
            return
    raise AssertionError("the handshake does not end")


def node(authority: Authority, *, dates: bool) -> ssl.SSLContext:
    return context(ca=authority.ca, certificate=None, key=None, dates=dates)


@pytest.mark.parametrize(
    ("early", "fault"), [(True, "not yet valid: is this node's clock right?"), (False, "has expired")]
)
def test_a_clock_surely_wrong_is_not_asked_and_any_other_is(tmp_path: Path, early: bool, fault: str) -> None:
    """For a pole in 1970 every certificate of today is early."""
    authority = Authority(tmp_path)
    broker = authority.server(early=early, expired=not early)
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        shake_hands(node(authority, dates=True), broker)
    assert fault in why(refused.value)
    shake_hands(node(authority, dates=False), broker)


@pytest.mark.parametrize("dates", [True, False])
def test_chain_and_host_name_are_checked_whatever_the_clock_says(tmp_path: Path, dates: bool) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path / "other", "another-ca")
    shake_hands(node(authority, dates=dates), authority.server())
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        shake_hands(node(authority, dates=dates), other.server("wrong"))
    assert why(refused.value) == "the broker's certificate is not from our CA"
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        shake_hands(node(authority, dates=dates), authority.server("elsewhere", hosts=("mqtt.example",)))
    assert why(refused.value) == "the broker's certificate is for another host name"
