"""Where on a server something is asked for."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def address(url: str, ending: str, root: str = "/v1") -> str:
    """``url`` itself where its path has the ``ending``, else that below the path it names, or below ``root``."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if not path.endswith(ending):
        path = f"{path or root}{ending}"
    return urlunsplit(parts._replace(path=path))
