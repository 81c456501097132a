"""What a server's refusal means for the config."""

from __future__ import annotations

from negmine.errors import ConfigError
from negmine.web.answers import RefusedError


def config_error(refused: RefusedError, section: str, *, keyed: bool, hint: str, not_found: str) -> ConfigError:
    """A refusal in terms of the ``section`` that describes the server: which key of it to look at.

    ``keyed``: whether a key was sent. ``hint`` is the next step where the status says nothing particular,
    ``not_found`` the one for an address or a model that is not there.
    """
    where = section
    if refused.status in (401, 403):
        where = f"{section}.api_key_env"
        wants = "the key in this variable to be valid for this model" if keyed else "a key"
        hint = f"The server wants {wants}."
    elif 300 <= refused.status < 400:
        where, hint = f"{section}.url", "Write the new address."
    elif refused.status == 404:
        hint = not_found
    elif refused.status in (402, 429):
        hint = "The account has no quota left. What was finished is kept."
    return ConfigError(refused.cause, where=where, hint=hint)
