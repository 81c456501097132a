"""Batches side by side on the cores of a processor.

Between its matrix products a model leaves cores idle, and the more of them the shorter its steps are: some batches at
once, each on its share of the cores, are done sooner than one after the other on all. What comes out is the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

C = TypeVar("C")
R = TypeVar("R")

MOST = 8
"""Batches at once: together they have about as many tokens as a batch of 32 long texts."""


def at_once(threads: int) -> int:
    """How many batches so many ``threads`` are shared by."""
    return threads // -(-threads // MOST)


def side_by_side(compute: Callable[[C], R], calls: Sequence[C]) -> Iterator[tuple[C, R]]:
    """Each call with what ``compute`` makes of it, as they get done; they begin in order.

    Takes as many threads as torch is set to. Raises what ``compute`` raises, and begins no more calls then.
    """
    import torch

    threads = torch.get_num_threads()
    streams = at_once(threads)
    if streams == 1 or len(calls) < streams:
        yield from ((call, compute(call)) for call in calls)
        return
    pool = ThreadPoolExecutor(streams, initializer=torch.set_num_threads, initargs=(threads // streams,))
    try:
        futures = {pool.submit(compute, call): call for call in calls}
        for future in as_completed(list(futures)):
            yield futures.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def independent(model: Any, *, own_code: bool) -> bool:
    """Whether calls of a torch model at the same time leave each other alone: not where its positions are set anew
    for every length of text, and where it runs ``own_code`` nobody knows."""
    kinds = (str(getattr(module, "rope_type", "")) for module in model.modules())
    return not own_code and not any("dynamic" in kind or "longrope" in kind for kind in kinds)


@contextlib.contextmanager
def reading_in_turn(model: Any, name: str) -> Iterator[None]:
    """Let one thread at a time call the method ``name`` of a model, which brings texts into tokens: tokenizers can
    not be used by two at once."""
    read, lock = getattr(model, name), threading.Lock()

    def alone(*args: Any, **named: Any) -> Any:
        with lock:
            return read(*args, **named)

    setattr(model, name, alone)
    try:
        yield
    finally:
        delattr(model, name)
