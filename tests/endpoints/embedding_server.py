"""A server of embeddings on loopback that does as it is told, and misbehaves as it is told."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSION = 12
KEY = "sk-secret-0123456789"


def vector_of(text: str, dimension: int = DIMENSION) -> np.ndarray:
    """float32 (d,), drawn from the text's digest, of any length."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(dimension).astype(np.float32) * 3


def normalised(vectors: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (vectors / np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))).astype(
        np.float32
    )
    return scaled


class Reply:
    """What a fault makes of a request instead of the answer: ``body`` may be cut off after ``sent`` bytes,
    or come a byte at a time every ``drip`` seconds; a status of 0 drops the connection."""

    def __init__(
        self,
        status: int,
        body: Any = b"",
        headers: dict[str, str] | None = None,
        *,
        sent: int | None = None,
        drip: float = 0.0,
    ) -> None:
        self.status, self.headers, self.sent, self.drip = status, headers or {}, sent, drip
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers.setdefault("content-type", "application/json")


Fault = Callable[[dict[str, Any]], Reply | None]
"""Given a request's body: what is answered instead of vectors, if anything."""


class EmbeddingServer(ThreadingHTTPServer):
    """Counts what it is asked; ``faults`` are tried in order, ``edit`` changes a good answer before it is sent."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.faults: list[Fault] = []
        self.edit: Callable[[dict[str, Any], dict[str, Any]], Any] = lambda answer, request: answer
        self.key: str | None = None
        self.delay = 0.0
        self.dimension = DIMENSION
        self.lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.embedded: Counter[str] = Counter()
        self.running = self.most_running = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are what is tested."""

    def answer(self, request: dict[str, Any]) -> Reply:
        for fault in self.faults:
            if (reply := fault(request)) is not None:
                return reply
        time.sleep(self.delay)
        texts = request["input"]
        width = request.get("dimensions", self.dimension)
        with self.lock:
            self.embedded.update(texts)
        vectors = [vector_of(text, width) for text in texts]
        wanted = request.get("encoding_format", "float")
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
                if wanted == "base64"
                else [float(value) for value in vector],
            }
            for place, vector in enumerate(vectors)
        ]
        tokens = sum(len(text.split()) for text in texts)
        answer = {"object": "list", "data": data, "model": request["model"], "usage": {"prompt_tokens": tokens}}
        return Reply(200, self.edit(answer, request))


class _Handler(BaseHTTPRequestHandler):
    server: EmbeddingServer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *words: Any) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        content = self.rfile.read(int(self.headers["content-length"]))
        with server.lock:
            server.requests.append({**json.loads(content), "authorization": self.headers.get("authorization")})
            server.paths.append(self.path)
            server.times.append(time.monotonic())
            server.running += 1
            server.most_running = max(server.most_running, server.running)
        try:
            if server.key is not None and self.headers.get("authorization") != f"Bearer {server.key}":
                given = (self.headers.get("authorization") or "").removeprefix("Bearer ")
                reply = Reply(401, {"error": {"message": f"Incorrect API key provided: {given}"}})
            else:
                reply = server.answer(json.loads(content))
        finally:
            with server.lock:
                server.running -= 1
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        if reply.status == 0:
            # a reset, not an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(reply.status)
        for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        body = reply.body if reply.sent is None else reply.body[: reply.sent]
        if reply.drip:
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(reply.drip)
        else:
            self.wfile.write(body)
        if reply.sent is not None:
            self.close_connection = True


def first(count: int, reply: Reply) -> Fault:
    """``reply`` to the first ``count`` requests."""
    left = [count]
    lock = threading.Lock()

    def fault(request: dict[str, Any]) -> Reply | None:
        with lock:
            left[0] -= 1
            return reply if left[0] >= 0 else None

    return fault


def always(reply: Reply) -> Fault:
    return lambda request: reply


def sometimes(share: float, replies: list[Reply], seed: int = 0) -> Fault:
    """One of ``replies`` to so many of the requests."""
    draw, lock = random.Random(seed), threading.Lock()

    def fault(request: dict[str, Any]) -> Reply | None:
        with lock:
            return draw.choice(replies) if draw.random() < share else None

    return fault


def at_most(limit: Callable[[list[str]], bool], reply: Reply) -> Fault:
    """``reply`` to batches for which ``limit`` does not hold."""
    return lambda request: None if limit(request["input"]) else reply
