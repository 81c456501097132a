"""A config with other values: as an object, and as the text of its file with the comments kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from negmine.config.keys import get, split_key
from negmine.config.loading import config_from_dict
from negmine.config.models import Config

OUT: Any = object()
"""A value that takes its key out of a file."""
_WIDE = 10_000


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with other values of dotted keys, checked as a whole.

    A section that is null comes into being, with its defaults. Entries of lists cannot be named. Raises
    ConfigError, which names the key, where a value makes no valid config.
    """
    data = config.model_dump(exclude_unset=True)
    for dotted, value in values.items():
        node, path = data, ""
        *sections, last = dotted.split(".")
        for name in sections:
            path = f"{path}.{name}".lstrip(".")
            if not node.get(name):  # not written: what it holds by default must stay
                node[name] = (get(config, path) or {}) if "." in path else {}
            node = node[name]
        node[last] = value
    return config_from_dict(data)


def written_with(text: str, values: Mapping[str, Any]) -> str:
    """The text of a config file with other values of dotted keys, comments and order kept.

    ``OUT`` takes a key out. Quotes stay as they are; the indentation of lists is that of most files.
    """
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, _WIDE
    if re.search(r"^ +- ", text, re.MULTILINE):
        yaml.indent(mapping=2, sequence=4, offset=2)
    root = yaml.load(text)
    for dotted, value in values.items():
        _put(root, split_key(dotted), value)
    out = StringIO()
    yaml.dump(root, out)
    return out.getvalue()


def _put(node: Any, names: tuple[Any, ...], value: Any) -> None:
    for name in names[:-1]:
        below = node[name] if isinstance(node, list) else node.get(name)
        if below is None:
            if value is OUT:
                return
            below = node[name] = {}
        node = below
    last = names[-1]
    if isinstance(node, list):
        node[last : last + 1] = [value]
    elif value is OUT:
        node.pop(last, None)
    else:
        node[last] = value
