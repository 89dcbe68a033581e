"""node.yaml to one frozen `Config`, checked at the door; mistakes all at once, each with file:line:column.

Any thread; reads the file and the files it names, and changes nothing. The attributes of `Config` have the names of
the keys. Which keys there are stands in `configuration.node`, one row a key; what stands where in the text, in
`configuration.yaml_text`.
"""

from dataclasses import replace
from pathlib import Path

from agent.configuration.fields import Schema, schema_of
from agent.configuration.node import NODE
from agent.configuration.notes import notes
from agent.configuration.problems import ConfigError, Problem
from agent.configuration.sections import read_document
from agent.configuration.trust import load_trust
from agent.configuration.words import Config

__all__ = ["Config", "ConfigError", "Problem", "load_config", "load_trust", "node_schema"]


def node_schema() -> Schema:
    """What node.yaml may hold, as JSON Schema: all that can be seen without looking at the machine."""
    return schema_of(NODE)


def load_config(path: Path, aside: Path | None = None) -> Config:
    """The node's configuration. `aside`: what will be in the file's folder lies there now, this file as well.

    Raises:
        ConfigError: with every problem found in the file, and in the files that it names.
    """
    config = read_document(path, NODE, aside)
    return replace(config, notes=tuple(notes(config)))
