"""JSON over HTTP to one URL: several requests at a time, each sent again while there is hope.

Requests run in an event loop in a thread of their own. So the time limit of a request holds for all
of it, however slowly a server drips its answer, and an interruption ends what is in flight at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import queue
import random
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import orjson

from negmine.web.answers import AgainError, RefusedError, ServerError, shown, understood

T = TypeVar("T")

FIRST_WAIT = 0.5
"""Seconds before the second attempt; twice as many before each further one."""
LONGEST_WAIT = 60.0
_CONNECT = 10.0
"""Seconds that a server has to take a connection."""
_PATIENCE = 900.0
"""A server that asks for a longer wait than these seconds is not waited for."""


class Client:
    """Sends JSON to ``url`` and yields the JSON that comes back.

    ``key`` is sent as bearer token and appears in no message. A request has ``timeout`` seconds,
    and is sent up to ``retries`` times more when it is dropped, times out, or the server answers 408,
    425, 429 or 5xx; a server's Retry-After holds back all requests. ``section`` of the config is named
    in hints. Proxies and certificates are those of the system and its environment variables.
    """

    def __init__(
        self, url: str, *, key: str | None, timeout: float, retries: int, concurrency: int, section: str
    ) -> None:
        self.where = shown(url)
        self._url, self._key = url, key
        self._timeout, self._retries, self._concurrency = timeout, retries, concurrency
        self._section = section
        self._loop: _Loop | None = None
        self._http: Any = None
        self._reached = False
        self._not_before = 0.0
        self._random = random.Random()  # only spreads requests over time

    def __repr__(self) -> str:
        return f"Client({self.where!r})"

    def each(self, work: deque[T], body: Callable[[T], Any]) -> Generator[tuple[T, Any], None, None]:
        """Yield each item of ``work`` with the answer to ``body(item)``, as they arrive.

        The answer is a RefusedError where the server refuses that request. Items that the caller adds to
        ``work`` meanwhile are sent too. Raises ServerError when a request failed for good. Close the
        iterator (contextlib.closing) to give up what is in flight.
        """
        loop = self._started()
        arrived: queue.SimpleQueue[tuple[T, Future[Any]]] = queue.SimpleQueue()
        running: set[Future[Any]] = set()
        try:
            while running or work:
                while work and len(running) < self._concurrency:
                    item = work.popleft()
                    future = loop.submit(self._ask(orjson.dumps(body(item))))
                    running.add(future)
                    future.add_done_callback(lambda done, item=item: arrived.put((item, done)))  # type: ignore[misc]
                item, future = arrived.get()
                running.discard(future)
                error = future.exception()
                if error is not None and not isinstance(error, RefusedError):
                    raise error
                yield item, error or future.result()
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """End connections and the thread; the next request would start them again."""
        if self._loop is not None:
            self._loop.close(self._http.aclose)
            self._loop = self._http = None

    def _started(self) -> _Loop:
        if self._loop is None:
            import httpx2

            headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "negmine"}
            if self._key is not None:
                headers["authorization"] = f"Bearer {self._key}"
            self._http = httpx2.AsyncClient(
                headers=headers,
                timeout=httpx2.Timeout(None, connect=min(_CONNECT, self._timeout)),
                limits=httpx2.Limits(
                    max_connections=self._concurrency, max_keepalive_connections=self._concurrency, keepalive_expiry=15
                ),
            )
            self._loop = _Loop()
        return self._loop

    async def _ask(self, body: bytes) -> Any:
        for attempt in itertools.count(1):
            await self._turn()
            try:
                return await self._once(body)
            except AgainError as again:
                wait = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT) * self._random.uniform(0.5, 1.0)
                if attempt > self._retries:
                    raise self._given_up(again, attempt) from again
                if again.seconds is not None and again.seconds > _PATIENCE:
                    raise ServerError(
                        f"the server asks to wait {again.seconds / 60:.0f} minutes: {again.cause}",
                        where=self.where,
                        hint="Run the same command again later. What was finished is kept.",
                    ) from again
                if again.seconds is not None:
                    self._not_before = max(self._not_before, asyncio.get_running_loop().time() + again.seconds)
                await asyncio.sleep(wait)
        raise AssertionError

    async def _turn(self) -> None:
        """Wait until the server wants requests again."""
        while (wait := self._not_before - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(wait + self._random.uniform(0, 0.1))

    async def _once(self, body: bytes) -> Any:
        import httpx2

        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.post(self._url, content=body)
        except TimeoutError as error:
            raise AgainError(
                f"it gave no answer within {self._timeout:g} seconds", hint=f"Raise {self._section}.timeout, or"
            ) from error
        except httpx2.RequestError as error:
            raise self._broken(error) from error
        self._reached = True
        return understood(answer.status_code, answer.headers, answer.content, self.where, self._key)

    def _broken(self, error: Exception) -> Exception:
        """What the end of a connection means: before anything was ever answered, nobody may be there."""
        import httpx2

        certificate = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)
        if certificate is not None:
            return ServerError(
                f"the server's certificate is not trusted ({certificate.verify_message})",
                where=self.where,
                hint="Add its authority to those of the system, or name its file in SSL_CERT_FILE.",
            )
        said = _reason(error)
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) and not self._reached:
            return ServerError(
                f"the server cannot be reached ({said})",
                where=self.where,
                hint=f"Is it running? Check {self._section}.url.",
            )
        return AgainError(f"the connection failed ({said})")

    def _given_up(self, again: AgainError, attempts: int) -> ServerError:
        times = f"{attempts} times" if attempts > 1 else "once"
        return ServerError(
            f"the server was asked {times}, and the last time {again.cause}",
            where=self.where,
            hint=f"{again.hint} see the server's log and run the same command again. What was finished is kept."
            if again.hint
            else "See the server's log and run the same command again. What was finished is kept.",
        )


class _Loop:
    """An event loop in a thread, which the end of the process does not wait for."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="negmine-web", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self, last: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Cancel what runs, do ``last``, end the thread."""
        with contextlib.suppress(TimeoutError):
            self.submit(self._end(last)).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self, last: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await last()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: Exception) -> str:
    """Why a connection failed, in the words of the system where it has some."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError | socket.gaierror) and cause.strerror:
            return cause.strerror
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
