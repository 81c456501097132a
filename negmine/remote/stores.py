"""Files on stores that fsspec knows by URL (s3, gs, hf, http, ...): opened, named, and their errors told.

fsspec comes with torch and huggingface_hub; what reaches a store may be a package of its own.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PosixPath
from typing import Any

from negmine.errors import ConfigError, InputError, MissingDependencyError, NegmineError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
_BUCKETS = {"s3", "s3a", "gs", "gcs"}
_SECRETS = re.compile(r"(\bhttps?://)[^/\s@]*@|(\w://)[^/\s@:]*:[^/\s]*@")
_QUERY = re.compile(r"(\bhttps?://[^\s?]*\?)(?!\.\.\.)\S+")
# What tells one version of a file from another, in the words of the stores.
_STAMPS = ("etag", "mtime", "lastmodified", "updated", "created", "md5hash", "contentmd5", "versionid", "blobid")
# Errors that pass: the store is busy, or failed for a moment (in the numbers that s3fs gives them).
_BUSY = {errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO), errno.EPIPE, errno.ECONNRESET}
_BUSY_STATUS = {408, 429, 500, 502, 503, 504}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_REFUSED = {
    "PermissionError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "DefaultCredentialsError",
}
_UNREACHED = {
    "ConnectionError",
    "ConnectionRefusedError",
    "TimeoutError",
    "gaierror",
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ClientConnectorError",
    "ClientConnectorDNSError",
    "ServerTimeoutError",
    "OfflineModeIsEnabled",
}
_CUT = {
    "ConnectionResetError",
    "BrokenPipeError",
    "ConnectionClosedError",
    "ClientPayloadError",
    "ServerDisconnectedError",
}


Tell = Callable[[str], None]
"""Is told what goes on, in a line."""


def is_url(text: str) -> bool:
    """Whether this names a place by protocol, and not a path of this machine."""
    return "://" in text


def redacted(text: str) -> str:
    """``text`` without the secrets of URLs in it: passwords, users of web pages, signatures after ``?``."""
    return _QUERY.sub(r"\1...", without_password(text))


def without_password(text: str) -> str:
    """``text`` without passwords, and users of web pages, in URLs."""
    return _SECRETS.sub(r"\1\2", text)


class Fetched(PosixPath):
    """The local copy of what a URL names: it opens as the file, and reads as the URL.

    Errors name a file by ``str(path)``; what opens one has to take ``os.fspath(path)``.
    """

    _url = ""

    @classmethod
    def of(cls, path: Path, url: str) -> Fetched:
        """``path`` under the name ``url``."""
        self = cls(path)
        self._url = redacted(url)
        return self

    def __fspath__(self) -> str:
        return super().__str__()

    def __str__(self) -> str:
        return self._url or super().__str__()


class Store:
    """One place on a store: ``files`` is its fsspec file system, ``root`` what that calls the place."""

    def __init__(self, url: str) -> None:
        """Raises MissingDependencyError when a package is missing, ConfigError for an unknown protocol, InputError
        when it cannot be reached."""
        import fsspec

        self.url, self.name = url, redacted(url)
        self.protocol = url.split("://", maxsplit=1)[0].rpartition(":")[2]
        try:
            self.files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
        except ImportError as error:
            raise _not_installed(self.protocol, self.name, error) from None
        except ValueError as error:
            raise ConfigError(
                f"this URL cannot be used ({redacted(str(error))})",
                where=self.name,
                hint="Check how it is written.",
            ) from None
        except OSError as error:  # a file system that connects when it is made
            raise InputError(
                f"this store cannot be reached ({redacted(error.strerror or str(error))})",
                where=self.name,
                hint="Check the URL and the connection.",
            ) from None
        self.root: str = root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine after all."""
        return self.protocol in ("file", "local") or not is_url(self.url)

    def inside(self, name: str) -> str:
        """What the file system calls ``name`` in this place."""
        return f"{self.root}/{name}"

    @contextlib.contextmanager
    def reaching(self, missing: str = "there is nothing at this URL", hint: str = "Check it.") -> Iterator[None]:
        """Turn what libraries raise about the store into InputError; a full local disk stays an OSError.

        ``missing`` and ``hint`` are what is said when something is not there.
        """
        try:
            yield
        except NegmineError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and (error.errno in _FULL or (self.is_local and error.errno != errno.ENOENT)):
                raise
            # The libraries' own errors may hold what redacted() takes out, so they are not chained.
            cause, advice = _told(error, missing, hint)
            raise InputError(cause, where=self.name, hint=advice) from None

    def check_bucket(self) -> None:
        """Raises InputError when the bucket does not exist or may not be listed."""
        if self.protocol in _BUCKETS:
            with self.reaching("there is no such bucket", "Check its name, or create it."):
                self.files.info(self.root.split("/")[0])


def is_passing(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later."""
    links = _chain(error)
    names = {kind.__name__ for link in links for kind in type(link).__mro__}
    status = {getattr(link, "status", None) for link in links}
    busy = isinstance(error, OSError) and error.errno in _BUSY
    return busy or bool(names & (_UNREACHED | _CUT) - {"OfflineModeIsEnabled"} or status & _BUSY_STATUS)


def stamp(info: Mapping[str, Any]) -> str | None:
    """What tells this version of a file from others, from fsspec's ``info``; None when the store does not say."""
    found = {}
    for key, value in info.items():
        plain = re.sub("[^a-z0-9]", "", key.lower())
        if plain in _STAMPS and value is not None:
            found[plain] = value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
    if not found:
        return None
    return " ".join(f"{key}={found[key]}" for key in sorted(found)) + f" size={info.get('size')}"


def size_of(count: int | None) -> str:
    """A number of bytes as it is told."""
    if count is None:
        return "of unknown size"
    return f"{count:,} bytes" if count < 10**6 else f"{count / 10**6:,.1f} MB"


def _not_installed(protocol: str, name: str, error: ImportError) -> MissingDependencyError:
    extra = _EXTRAS.get(protocol)
    hint = f'Run: pip install "negmine[{extra}]"' if extra else "Install the package that is named there."
    return MissingDependencyError(
        f"{protocol}:// needs a package that is not installed ({error})", where=name, hint=hint
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error, and those that led to it."""
    links: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in links:
        links.append(each)
        each = each.__cause__ or each.__context__
    return links


def _told(error: BaseException, missing: str, hint: str) -> tuple[str, str]:
    """What happened, and what to do about it."""
    links = _chain(error)
    names = {kind.__name__ for link in links for kind in type(link).__mro__}
    status = {getattr(link, "status", None) for link in links}
    said = (redacted(str(error)).splitlines() or [""])[0]
    if names & (_UNREACHED | _CUT):
        return "the store cannot be reached", (
            "Check the network and the endpoint (of s3: AWS_ENDPOINT_URL), and run the same command again."
        )
    if names & _REFUSED or status & {401, 403}:
        cause = "no credentials were found" if "NoCredentialsError" in names else f"access is denied ({said})"
        return cause, (
            "Give this machine credentials for it (of s3: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)."
        )
    if isinstance(error, FileNotFoundError):
        return missing, hint
    return f"the store answered {type(error).__name__}: {said}", "Run the same command again."
