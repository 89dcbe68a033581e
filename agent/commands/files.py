"""The two files of a node, and its key, for the commands that judge by them."""

from pathlib import Path

from agent.commands.exits import CommandError
from agent.commands.places import key_file
from agent.config import Config, ConfigError, Problem, load_config, load_trust
from agent.security import Addressee, NodeKey, NodeKeyError, TrustError, TrustStore
from agent.verification.key_file import load_or_make


def load(path: Path) -> tuple[Config, TrustStore]:
    """node.yaml, and the trust document that it names.

    Raises:
        ConfigError: with every problem of the first of the two that has one.
    """
    config = load_config(path)
    document = load_trust(config.trust, config.site)
    try:
        return config, TrustStore(document, site=config.site)
    except TrustError as error:
        raise ConfigError((Problem(str(config.trust), 1, 1, str(error)),)) from None


def addressee(config: Config) -> Addressee:
    """Who this node is to whoever commands it."""
    return Addressee(config.site, config.node, frozenset(config.groups))


def node_key(config: Config) -> NodeKey:
    """The node's own key, made where there is none.

    Raises:
        CommandError: others than its owner may read it, or it is none.
        OSError: it can be neither read nor written.
    """
    try:
        return load_or_make(key_file(config))
    except NodeKeyError as error:
        raise CommandError(str(error)) from None
