"""Keys of servers, which configs name and do not hold."""

from __future__ import annotations

import os

from negmine.errors import ConfigError


def api_key(name: str | None, where: str) -> str | None:
    """The key in an environment variable that the config key ``where`` names. Raises ConfigError without one."""
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {name} is {'empty' if name in os.environ else 'not set'}",
            where=where,
            hint=f"Set it to the key of the server: export {name}=... (workers of a cluster need it too).",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"the environment variable {name} holds characters that no key has", where=where)
    return key
