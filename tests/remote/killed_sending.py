"""``negmine`` with a pretended model that kills itself when it is about to send the file number KILL_AT."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from slow_negmine import pretend

from negmine.remote import objects
from negmine.remote.objects import Objects

_send = Objects.send
_left = [int(os.environ["KILL_AT"])]


def send(self: Objects, source: Path, name: str) -> None:
    if not _left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    _left[0] -= 1
    _send(self, source, name)


if __name__ == "__main__":
    Objects.send = send  # type: ignore[method-assign]
    objects._AT_ONCE = 1
    pretend()
    from negmine.cli.main import main

    sys.argv[0] = "negmine"
    main()
