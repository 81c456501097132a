"""The work_dir of a config, opened: a folder of this machine, or a URL with its copy in one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from negmine.config import Config
from negmine.errors import ConfigError
from negmine.remote.mirror import MirroredWorkDir
from negmine.remote.stores import Tell, is_url, without_password
from negmine.store.workdir import WorkDir


def open_run(
    config: Config,
    *,
    verify: bool = False,
    repair: bool = False,
    fetch: bool = True,
    tell: Tell = lambda text: None,
) -> tuple[Config, WorkDir]:
    """The run of a config, and the config as what works on it is to see it: with a folder as work_dir.

    ``verify``: read every file of finished stages. ``repair``: those of a URL, whose damage is not seen otherwise.
    ``fetch``: whether files of finished stages may be copied here; if not, asking for one that is not here raises
    ArtifactError. ``tell`` is told of long transfers.

    Raises InputError when a URL cannot be reached, MissingDependencyError when a package is missing for it.
    """
    verify = verify or (repair and is_url(config.work_dir))
    work = open_folder(config.work_dir, config.engine.scratch, verify=verify, fetch=fetch, tell=tell)
    if not is_url(config.work_dir):
        return config, work
    return config.model_copy(update={"work_dir": str(work.root)}), work


def open_folder(
    work_dir: str,
    scratch: str | None = None,
    *,
    verify: bool = False,
    fetch: bool = True,
    tell: Tell = lambda text: None,
) -> WorkDir:
    """A run by its path or URL; raises what ``open_run`` does."""
    if not is_url(work_dir):
        return WorkDir(Path(work_dir), verify=verify)
    return MirroredWorkDir(local_folder(work_dir, scratch), work_dir, verify=verify, fetch=fetch, tell=tell)


def local_folder(url: str, scratch: str | None = None) -> Path:
    """The folder of this machine for the run at a URL. Raises ConfigError where there is no place for one."""
    above = Path(scratch) if scratch is not None else cache_folder()
    if above is None:
        raise ConfigError(
            "there is no home folder to keep the local copy of this run in",
            where=url,
            hint="Set engine.scratch, or NEGMINE_CACHE_DIR.",
        )
    name = hashlib.sha256(without_password(url.rstrip("/")).encode()).hexdigest()[:16]
    return above / name if scratch is not None else above / "runs" / name


def cache_folder() -> Path | None:
    """Where what can be made again is kept: NEGMINE_CACHE_DIR, or ``negmine`` in XDG_CACHE_HOME or ``~/.cache``.

    None without a home.
    """
    own, given = os.environ.get("NEGMINE_CACHE_DIR", ""), os.environ.get("XDG_CACHE_HOME", "")
    if own:
        return Path(own).absolute()
    if Path(given).is_absolute():
        return Path(given) / "negmine"
    try:
        return Path.home() / ".cache" / "negmine"
    except RuntimeError:
        return None
