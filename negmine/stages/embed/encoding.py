"""How a config's ``embed`` section becomes encoders, and what identifies each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from negmine.config import Config, get
from negmine.encoders import endpoint
from negmine.encoders.base import Encoder, SparseEncoder
from negmine.encoders.loading import Settings, devices
from negmine.encoders.model_check import EMBEDDING, SPARSE, check_backend, check_device, check_model
from negmine.encoders.model_files import model_digests, resolve_model
from negmine.errors import NegmineError
from negmine.stages.vectors import folder_of
from negmine.store.digests import DigestCache
from negmine.web.keys import api_key

KEYS = (
    "embed.backend",
    "embed.dtype",
    "embed.query_prompt",
    "embed.query_prompt_name",
    "embed.document_prompt",
    "embed.document_prompt_name",
    "embed.max_seq_length",
    "embed.truncate_dim",
    "embed.normalize",
    "embed.similarity",
    "embed.batch_size",
    "embed.store_dtype",
    "embed.part_rows",
    "embed.trust_remote_code",
    # Not where the server is: the same model may move.
    "embed.endpoint.model",
    "embed.endpoint.revision",
    "embed.endpoint.dimensions",
)
"""What decides the files of an encoder, beside its model's."""
# Where parts are cut decides no vector.
DECIDING = tuple(key for key in KEYS if key != "embed.part_rows")


OTHERS = "embed.others"
"""Where a manifest names what further encoders were, by name."""


@dataclass(frozen=True)
class EncoderSource:
    """An encoder of a run; ``config`` has it as ``embed``, ``name`` is None for the main one."""

    config: Config
    name: str | None = None
    place: int = 0
    """Where it stands in ``embed.others``."""

    @property
    def folder(self) -> str:
        """Where its files lie."""
        return folder_of(self.name)

    @property
    def sparse(self) -> bool:
        """Whether its vectors are weights of words."""
        return getattr(self.config.embed, "kind", "dense") == "sparse"

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Let errors name the keys of this encoder instead of those of the main one."""
        try:
            yield
        except NegmineError as error:
            for part in ("cause", "where", "hint") if self.name is not None else ():
                if isinstance(text := getattr(error, part), str):
                    own = f"embed.others.{self.place}."
                    setattr(error, part, re.sub(r"\bembed\.(?!others\.)", own, text))
            raise


def sources(config: Config) -> list[EncoderSource]:
    """The encoders of a run, the main one first."""
    more = [EncoderSource(config.with_encoder(name), name, place) for place, name in enumerate(config.others)]
    return [EncoderSource(config), *more]


def settings_of(source: EncoderSource) -> dict[str, Any]:
    """The config keys that decide what a further encoder makes of texts."""
    return {"kind": "sparse" if source.sparse else "dense", **{key: get(source.config, key) for key in KEYS}}


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
    kind = SPARSE if EncoderSource(config).sparse else EMBEDDING
    check_model(model_folder(config), trust_remote_code=embed.trust_remote_code, kind=kind)


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


def load_sparse_encoder(config: Config) -> SparseEncoder:
    """The sparse model of the config, loaded and ready."""
    from negmine.encoders.sparse import SparseTransformerEncoder

    return SparseTransformerEncoder(model_folder(config), replace(_settings(config), every_gpu=False))


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
