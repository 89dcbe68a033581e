"""The two files of a node, and its key, for the commands that judge by them."""

from pathlib import Path

from agent.commands.exits import CommandError
from agent.commands.places import key_file
from agent.config import Config, ConfigError, Problem, load_config, load_trust
from agent.security import Addressee, NodeKey, NodeKeyError, TrustError, TrustStore
from agent.verification.key_file import load_or_make


def load(path: Path, aside: Path | None = None) -> tuple[Config, TrustStore]:
    """node.yaml, and the trust document that it names. `aside`: what will be in its folder lies there now.

    Raises:
        ConfigError: with every problem of both; of the trust document beside a bad node.yaml as far as can be told.
    """
    try:
        config = load_config(path, aside)
    except ConfigError as error:
        beside = path.with_name("trust.yaml")
        raise ConfigError((*error.problems, *_problems_of_trust(beside, aside))) from None
    document = load_trust(config.trust, config.site, _aside(config.trust.parent, path.absolute().parent, aside))
    try:
        return config, TrustStore(document, site=config.site)
    except TrustError as error:
        raise ConfigError((Problem(str(config.trust), 1, 1, error.args[0]),)) from None


def _problems_of_trust(path: Path, aside: Path | None) -> tuple[Problem, ...]:
    """What is wrong with it whatever the site; nothing where there is none."""
    try:
        if not (path if aside is None else aside / path.name).exists():
            return ()
        load_trust(path, None, aside)
    except PermissionError:  # of the folder, which node.yaml has told of
        return ()
    except ConfigError as error:
        return error.problems
    return ()


def _aside(folder: Path, base: Path, aside: Path | None) -> Path | None:
    """Where a folder's contents lie now, if it is within the one that lies aside."""
    return aside / folder.relative_to(base) if aside is not None and folder.is_relative_to(base) else None


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
        raise CommandError(*error.args) from None
