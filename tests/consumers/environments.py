"""Makes the environment that readers of other tools are tested in: ``.venv-consumers/readers``.

``python tests/consumers/environments.py`` makes it, or does nothing when it is there. It lies over the
environment that runs this script, so that torch, transformers and datasets are not there twice, and holds the
tools' own packages without what they ask for: their pins contradict each other, and what their readers import
is listed here. Nothing of it is installed for users or for the other tests.
"""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".venv-consumers" / "readers"
PYTHON = FOLDER / "bin" / "python"
# Exact versions: a new one is looked at before it is relied on.
TOOLS = (
    "beir==2.2.0",
    "FlagEmbedding==1.4.2",
    "gpl==0.1.4",
    "ir-measures==0.4.3",
    "ms-swift==4.6.0",
    "nemo-automodel==0.7.0",
    "pylate==1.6.0",
    "pytrec-eval-terrier==0.5.11",
    "tevatron==0.1.0",
)
# What they import on the way to their readers.
NEEDED = ("json-repair==0.64.6", "modelscope==1.40.2", "modelscope-hub==0.5.1", "peft==0.21.2")


def make() -> None:
    """Raises RuntimeError with the installer's last line when it cannot be made."""
    stamp = FOLDER / "installed.txt"
    wanted = "\n".join([sys.version, *TOOLS, *NEEDED])
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=False, symlinks=True)
    (own,) = FOLDER.glob("lib/python*/site-packages")
    (own / "base.pth").write_text("".join(f"{folder}\n" for folder in site.getsitepackages()), "utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "--only-binary", ":all:", *TOOLS, *NEEDED]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "pip failed").splitlines()[-1])
    stamp.write_text(wanted, "utf-8")


if __name__ == "__main__":
    try:
        make()
    except RuntimeError as error:
        sys.exit(f"The environment of consumers cannot be made: {error}")
