"""How a config's ``rerank`` section becomes a scorer, and what identifies it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from negmine.config import Config
from negmine.encoders.model_check import CROSS_ENCODER, check_backend, check_device, check_model
from negmine.encoders.model_files import model_digests, resolve_model
from negmine.scoring import endpoint
from negmine.scoring.base import Scorer, of_rerank
from negmine.store.digests import DigestCache
from negmine.web.keys import api_key


def model_folder(config: Config, *, download: bool = True) -> Path:
    """The folder of ``rerank.model``. Raises InputError when there is no such model."""
    assert config.rerank is not None
    assert config.rerank.model is not None
    rerank = config.rerank
    with of_rerank():
        return resolve_model(config.rerank.model, rerank.revision, download=download, backend=rerank.backend)


def check_scorer(config: Config) -> None:
    """Refuse what can be seen to fail without loading the model; an endpoint is asked for one score.

    A run that has scores already may go on where its device or backend is not to be had; if they turn out to be
    needed, loading the model says so. On a cluster that is the workers' matter.
    """
    rerank = config.rerank
    assert rerank is not None
    here = config.engine.kind == "local" and not (Path(config.work_dir) / "rerank" / "manifest.json").exists()
    if rerank.endpoint is not None:
        if here:
            with contextlib.closing(_endpoint_scorer(config)) as scorer:
                scorer.probe()
        return
    with of_rerank():
        if here:
            check_backend(rerank.backend)
            check_device(rerank.device, rerank.backend)
        check_model(model_folder(config), trust_remote_code=rerank.trust_remote_code, kind=CROSS_ENCODER)


def scorer_identity(config: Config, digests: DigestCache) -> dict[str, Any] | None:
    """Digests of the model's weights, tokenizer and settings files; None for an endpoint."""
    if config.rerank is None or config.rerank.model is None:
        return None
    return model_digests(model_folder(config, download=False), config.rerank.backend, digests.digest)


def load_scorer(config: Config) -> Scorer:
    """The reranker of the config, ready to score."""
    rerank = config.rerank
    assert rerank is not None
    if rerank.endpoint is not None:
        return _endpoint_scorer(config)
    from negmine.scoring.cross_encoder import CrossEncoderScorer, Settings

    settings = Settings(
        backend=rerank.backend,
        device=rerank.device,
        dtype=rerank.dtype,
        max_length=rerank.max_length,
        batch_size=None if rerank.batch_size == "auto" else rerank.batch_size,
        query_prompt=rerank.query_prompt,
        sigmoid=rerank.activation != "identity",
        trust_remote_code=rerank.trust_remote_code,
        threads=None if config.threads == "auto" else config.threads,
    )
    return CrossEncoderScorer(model_folder(config), settings)


def _endpoint_scorer(config: Config) -> endpoint.EndpointScorer:
    assert config.rerank is not None
    server = config.rerank.endpoint
    assert server is not None
    settings = endpoint.Settings(
        url=server.url,
        style=server.style,
        model=server.model,
        key=api_key(server.api_key_env, "rerank.endpoint.api_key_env"),
        query_prompt=config.rerank.query_prompt,
        logits=config.rerank.activation == "identity",
        batch_texts=server.batch_texts,
        concurrency=server.concurrency,
        timeout=server.timeout,
        retries=server.retries,
    )
    return endpoint.EndpointScorer(settings)
