"""A reranker on loopback, as TEI and as Cohere have it."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from embedding_server import EmbeddingServer, Reply


def logit_of(query: str, text: str) -> float:
    """Between -4 and 4, drawn from the digest of the pair."""
    digest = hashlib.sha256(f"{query}\0{text}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**29 - 4


def score_of(query: str, text: str) -> float:
    return 1 / (1 + math.exp(-logit_of(query, text)))


class RerankServer(EmbeddingServer):
    """Answers best first, as servers do; faults and keys are those of the server of embeddings."""

    def answer(self, request: dict[str, Any]) -> Reply:
        for fault in self.faults:
            if (reply := fault(request)) is not None:
                return reply
        texts = request.get("texts", request.get("documents"))
        with self.lock:
            self.embedded.update(f"{request['query']}\0{text}" for text in texts)
        score = logit_of if request.get("raw_scores") else score_of
        found = sorted(((score(request["query"], text), i) for i, text in enumerate(texts)), reverse=True)
        if "texts" in request:
            return Reply(200, self.edit([{"index": i, "score": s} for s, i in found], request))
        results = [{"index": i, "relevance_score": s} for s, i in found]
        return Reply(200, self.edit({"results": results, "model": request["model"]}, request))
