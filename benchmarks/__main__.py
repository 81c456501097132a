"""`make bench`: all benchmarks that need no further data, one after the other; writes benchmarks/RESULTS.md.

    python -m benchmarks              # half an hour on two idle cores
    python -m benchmarks --full       # the large sizes, hours, and 20 GB of disk
    python -m benchmarks --tiny       # only whether all of them run; prints the results
    python -m benchmarks mining       # some of them; what the others said last stays

`benchmarks.quality`, `hybrid`, `lexical` and `formats` need collections and are run apart.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import machine

_RESULTS = Path(__file__).parent / "RESULTS.md"
_RAY = {"executors"}
"""What is left out where Ray is not installed."""

# Module and arguments.
USUAL = (
    "startup",
    "mining --rounds 3",
    "margins --rounds 3",
    "scaling",
    "approximate --passages 300000 --queries 20000 --rounds 2",
    "embedding --texts 600 --documents 2000 --rounds 2",
    "planning demo texts 20000x2000x384",
    "executors --stage mine --passages 100000 --queries 16000 --rounds 3",
    "executors --stage embed --passages 600 --rounds 2",
)
FULL = (
    "startup",
    "mining --rounds 5",
    "mining --passages 1000000 --queries 5000 --rounds 5 --no-peers",
    "margins --rounds 5",
    "margins --passages 1000000 --queries 5000 --rounds 3 --no-default-path",
    "scaling --half --rounds 2",
    "approximate --rounds 2",
    "embedding --texts 1500 --documents 20000 --rounds 1",
    "reranking --layers 2 --queries 40 --rounds 2",
    "planning",
    "executors --stage mine --passages 100000 --queries 16000 --rounds 3",
    "executors --stage embed",
)
TINY = (
    "startup --rounds 1",
    "mining --passages 2000 --queries 200 --rounds 1",
    "margins --passages 2000 --queries 200 --rounds 1",
    "scaling --sizes 1000 2000 --queries 100",
    "approximate --passages 20000 --queries 500 --rounds 1",
    "embedding --texts 20 --documents 20 --rounds 1",
    "reranking --layers 1 --queries 2 --candidates 5 --rounds 1",
    "planning 2000x200x384",
    "executors --stage mine --passages 2000 --queries 200 --part 100 --rounds 1",
    "executors --stage embed --passages 100 --part 50 --rounds 1",
)


def _run(words: str, folder: Path) -> tuple[str, bool]:
    """What one benchmark printed, in Markdown, and whether it succeeded."""
    module, *arguments = words.split()
    command = ["-m", f"benchmarks.{module}", *arguments]
    own = folder / module if module == "executors" else folder
    print(f"python {' '.join(command)}", file=sys.stderr, flush=True)
    started, load = time.perf_counter(), os.getloadavg()[0]
    where = ["--folder", str(own.absolute())]
    done = subprocess.run([sys.executable, *command, *where], check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    text = f"({datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {seconds:.0f} s, load before it {load:.1f})\n\n"
    text += done.stdout.strip()
    if done.returncode:
        text += f"\n\nIt failed:\n\n```text\n{done.stderr.strip()[-2000:]}\n```"
    return text, not done.returncode


def _sections(text: str) -> dict[str, str]:
    """What a file of results says of each command."""
    parts = re.split(r"^`python -m benchmarks\.(.+)` ", text, flags=re.MULTILINE)
    return {words: said.strip() for words, said in zip(parts[1::2], parts[2::2], strict=True)}


def _as_text(sections: dict[str, str]) -> str:
    """The file: the commands in the order of the tables above."""
    head = (
        f"# Results\n\nMade by `python -m benchmarks`. {machine()}.\n\nArms take turns, each in a process of its own;"
        " ratios are medians of the ratios round by round. CPU seconds are those of the process itself."
    )
    known = [words for words in dict.fromkeys([*USUAL, *FULL, *TINY]) if words in sections]
    return "\n\n".join([head, *(f"`python -m benchmarks.{words}` {sections[words]}" for words in known)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as mining or margins; all where none is named")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true")
    size.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    chosen = FULL if args.full else TINY if args.tiny else USUAL
    if importlib.util.find_spec("ray") is None:
        chosen = tuple(words for words in chosen if words.split()[0] not in _RAY)
    known = list(dict.fromkeys(words.split()[0] for words in chosen))
    if unknown := sorted(set(args.names) - set(known)):
        parser.error(f"of this size there is no {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = tuple(words for words in chosen if not args.names or words.split()[0] in args.names)
    found, good = {}, True
    for words in chosen:
        found[words], succeeded = _run(words, args.folder)
        good &= succeeded
    if not args.tiny:
        before = _sections(_RESULTS.read_text("utf-8")) if _RESULTS.exists() else {}
        _RESULTS.write_text(_as_text(before | found), "utf-8")
    print(_as_text(found))
    sys.exit(not good)


if __name__ == "__main__":
    main()
