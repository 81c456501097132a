"""How a config's ``embed`` section becomes an encoder, and what identifies it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from negmine.config import Config
from negmine.encoders import endpoint
from negmine.encoders.base import Encoder
from negmine.encoders.loading import Settings, devices
from negmine.encoders.model_check import check_backend, check_device, check_model
from negmine.encoders.model_files import model_digests, resolve_model
from negmine.store.digests import DigestCache
from negmine.web.keys import api_key


def model_folder(config: Config, *, download: bool = True) -> Path:
    """The folder of ``embed.model``. Raises InputError when there is no such model."""
    embed = config.embed
    assert embed.model is not None
    return resolve_model(embed.model, embed.revision, download=download, backend=embed.backend)


def check_encoder(config: Config) -> None:
    """Refuse what can be seen to fail without loading the model; an endpoint is asked for one vector.

    A run that has vectors already may go on where its device, backend or server is not to be had; if
    they turn out to be needed, loading the model says so. On a cluster that is the workers' matter.
    """
    embed = config.embed
    here = config.engine.kind == "local" and not (Path(config.work_dir) / "embed" / "manifest.json").exists()
    if embed.endpoint is not None:
        if here:
            with contextlib.closing(_endpoint_encoder(config)) as encoder:
                encoder.probe()
        return
    if here:
        check_backend(embed.backend)
        check_device(embed.device, embed.backend)
    check_model(model_folder(config), trust_remote_code=embed.trust_remote_code)


def encoder_identity(config: Config, digests: DigestCache) -> dict[str, Any]:
    """Digests of the model's weights, tokenizer, pooling and settings files."""
    return model_digests(model_folder(config, download=False), config.embed.backend, digests.digest)


def gpus_at_once(config: Config) -> int:
    """How many graphics cards embed at the same time; 1 also when a processor does."""
    return max(len([device for device in devices(_settings(config)) if not device.startswith("cpu")]), 1)


def load_encoder(config: Config, *, alone: bool = False) -> Encoder:
    """The model of the config, loaded and ready; ``alone``: on the first of several devices."""
    if config.embed.endpoint is not None:
        return _endpoint_encoder(config)
    from negmine.encoders.sentence_transformer import SentenceTransformerEncoder

    settings = _settings(config)
    if alone:
        first = settings.device if isinstance(settings.device, str) else settings.device[0]
        settings = replace(settings, device=first, every_gpu=False)
    return SentenceTransformerEncoder(model_folder(config), settings)


def _endpoint_encoder(config: Config) -> endpoint.EndpointEncoder:
    embed, server = config.embed, config.embed.endpoint
    assert server is not None
    settings = endpoint.Settings(
        url=server.url,
        model=server.model,
        key=api_key(server.api_key_env, "embed.endpoint.api_key_env"),
        dimensions=server.dimensions,
        encoding_format=server.encoding_format,
        batch_tokens=server.batch_tokens,
        batch_texts=server.batch_texts,
        concurrency=server.concurrency,
        timeout=server.timeout,
        retries=server.retries,
        query_prompt=embed.query_prompt,
        document_prompt=embed.document_prompt,
        truncate_dim=embed.truncate_dim,
        normalize=embed.normalize,
        similarity=embed.similarity,
    )
    return endpoint.EndpointEncoder(settings)


def _settings(config: Config) -> Settings:
    embed = config.embed
    return Settings(
        backend=embed.backend,
        device=embed.device,
        every_gpu=config.engine.kind == "local",  # workers of a cluster have one each
        dtype=embed.dtype,
        query_prompt=embed.query_prompt,
        query_prompt_name=embed.query_prompt_name,
        document_prompt=embed.document_prompt,
        document_prompt_name=embed.document_prompt_name,
        max_seq_length=embed.max_seq_length,
        truncate_dim=embed.truncate_dim,
        normalize=embed.normalize,
        similarity=embed.similarity,
        batch_size=None if embed.batch_size == "auto" else embed.batch_size,
        trust_remote_code=embed.trust_remote_code,
        threads=None if config.threads == "auto" else config.threads,
    )
