"""Finds the system's Chromium for tests of pages; ``python tests/report/browser.py`` installs it where it is missing.

It comes from the packages of Debian or Ubuntu, which only root can install. Nothing of it is needed by users.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The path of the browser, None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def install() -> None:
    """Raises RuntimeError with why when it cannot be installed."""
    if find() is not None:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise RuntimeError("it is not there, and only root can install it with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or f"{' '.join(command)} failed").splitlines()[-1])


if __name__ == "__main__":
    try:
        install()
    except RuntimeError as error:
        sys.exit(f"Chromium cannot be installed: {error}")
