"""Whether certificate and key of node.yaml are what they should be, as far as can be told without calling anybody."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from agent.certificate import Certificate, CertificateError, public_half, read_certificate
from agent.config import Config, Problem
from agent.messages.sentences import Sentence
from agent.security import TrustStore

EXAMPLE: Final = "EXAMPLE-"
"""Begins the public keys of config/trust.example.yaml, whose other half nobody has."""

Now = Callable[[Path], Path]
"""Where a file that node.yaml names is to be looked at."""


def as_it_is(path: Path) -> Path:
    """Files lie where they are named."""
    return path


def identity_problems(config: Config, now: Now = as_it_is) -> Iterator[Problem]:
    """What would keep every broker from being spoken to. Raises OSError: a file cannot be read any more."""
    files = [path for path in (config.mqtt.ca, config.mqtt.certificate) if path is not None]
    for path in files:
        try:
            read_certificate(now(path).read_bytes())
        except CertificateError as error:
            yield Problem(str(path), 1, 1, error.args[0])
    if config.mqtt.certificate is None or config.mqtt.key is None:
        return
    try:
        half = public_half(now(config.mqtt.key).read_bytes())
    except CertificateError as error:
        yield Problem(str(config.mqtt.key), 1, 1, error.args[0])
        return
    certificate = own_certificate(config, now)
    if certificate is not None and certificate.public != half:
        told = Sentence(
            "this key does not belong to {certificate}: copy both anew from the same place",
            certificate=config.mqtt.certificate,
        )
        yield Problem(str(config.mqtt.key), 1, 1, told)


def identity_notes(config: Config, trust: TrustStore, now: Now = as_it_is) -> Iterator[Sentence]:
    """What is allowed, and still no node that somebody could reach and command."""
    if any(key.public.startswith(EXAMPLE) for key in trust.document.keys):
        yield Sentence("{trust} holds keys of the example, which nobody has: put in your own", trust=config.trust)
    certificate = own_certificate(config, now)
    if certificate is not None and certificate.name != config.node:
        yield Sentence(
            "{certificate} is made out to {name}, and this node is {node}: "
            "a broker that lets each pole be itself alone would not hear it",
            certificate=config.mqtt.certificate,
            name=certificate.name or "-",
            node=config.node,
        )


def own_certificate(config: Config, now: Now = as_it_is) -> Certificate | None:
    """The node's certificate, if it has one that can be read."""
    if config.mqtt.certificate is None:
        return None
    try:
        return read_certificate(now(config.mqtt.certificate).read_bytes())
    except CertificateError:
        return None
