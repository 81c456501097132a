"""Config of how texts become vectors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema

from negmine.config.mining import BM25, mark
from negmine.config.values import CountOrAuto, PathText, Problem, Section, Text, found, worded


class VectorsConfig(Section):
    """Ready-made vectors: Parquet (id and vector), .npy or .safetensors (a row per row of the input) each."""

    corpus: PathText = Field(
        description="Vectors of the documents: Parquet with `doc_id` and `vector`; .npy, or the tensor `corpus` of"
        " a .safetensors file, with one row per row of the corpus file."
    )
    queries: PathText = Field(
        description="Vectors of the queries: Parquet with `query_id` and `vector`; .npy, or the tensor `queries`"
        " of a .safetensors file, with one row per row of the pairs (or queries) file."
    )


class EndpointConfig(Section):
    """An embedding model behind a server with OpenAI's `/v1/embeddings`: TEI, vLLM, Infinity, hosted models."""

    example: ClassVar[str] = "{url: 'http://localhost:8080/v1', model: NAME}"

    url: Text = Field(
        description="Address of the server: `http://host:8080`, `https://host/v1` or the whole `.../embeddings`."
    )
    model: Text = Field(description="Name of the model, as the server knows it.")
    revision: Text | None = Field(
        default=None,
        description="Any text of your own: another one embeds anew, as when the server has other weights by the same"
        " name.",
    )
    api_key_env: Text | None = Field(
        default=None, description="Environment variable that holds the key, which is sent as bearer token."
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Dimensions that the server is asked for; the model's own when null."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="How vectors travel; `base64` is a third of the bytes where the server knows it."
    )
    batch_tokens: int = Field(
        default=8192, ge=1, description="Tokens of a request at most, estimated as a third of the bytes."
    )
    batch_texts: int = Field(default=32, ge=1, description="Texts of a request at most.")
    concurrency: int = Field(default=8, ge=1, le=1024, description="Requests at a time (of each worker).")
    timeout: float = Field(default=120.0, gt=0, description="Seconds that a request may take.")
    retries: int = Field(
        default=8, ge=0, description="How often a request is sent again after 429, 5xx, a timeout or a lost connection."
    )
    price_per_million_tokens: float | None = Field(
        default=None, ge=0, description="What `negmine plan` computes the cost from, in any currency."
    )

    def problems(self) -> Iterator[Problem]:
        yield from server_problems(self.url, self.api_key_env, "embed.endpoint")


def server_problems(url: str, api_key_env: str | None, section: str) -> Iterator[Problem]:
    """What is wrong with the address of a server and the name of its key, in a ``section`` that has both."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", url):
        yield Problem(
            ("url",),
            "must be the http:// or https:// URL of a server",
            "Write it like http://localhost:8080/v1.",
            secret="@" in url,
        )
    elif parts.username is not None or parts.password is not None:
        yield Problem(
            ("url",),
            "must not contain a password",
            f"Name an environment variable in {section}.api_key_env.",
            secret=True,
        )
    elif parts.fragment:
        yield Problem(("url",), "must not have a part after '#'")
    if api_key_env is not None and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", api_key_env):
        yield Problem(
            ("api_key_env",),
            "must be the name of an environment variable, and not the key itself",
            "Write it like OPENAI_API_KEY.",
            secret=True,
        )


def _devices(value: Any) -> str | tuple[str, ...]:
    """One device, or several of one kind; a list of one is that one."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    wrong = [found(item) for item in listed if not isinstance(item, str) or not item]
    if wrong or not listed:
        met = wrong[0] if wrong else "an empty list"
        raise worded(f"expected a device or a list of devices, found {met}", "Write it like [cuda:0, cuda:1].")
    if len(listed) == 1:
        only: str = listed[0]
        return only
    if "auto" in listed or "cuda" in listed:
        which = "auto" if "auto" in listed else "cuda"
        raise worded(f"'{which}' names no certain device in a list", "Write it like [cuda:0, cuda:1].")
    kinds = list(dict.fromkeys(item.partition(":")[0] for item in listed))
    if len(kinds) > 1:
        raise worded(
            f"a list has devices of one kind, and this one has {' and '.join(kinds)}",
            "Kinds round differently: a vector would depend on which device was free.",
        )
    return tuple(listed)


Devices = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_devices),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
"""Where a model runs: a device of torch, or several."""


class EncoderConfig(Section):
    """An embedding model, a server that has one, or ready-made vectors."""

    within: ClassVar[str] = ""
    """What stands before the keys in errors."""

    model: Text | None = Field(
        default=None, description="Embedding model: a hub name, a local folder or package://module/path."
    )
    backend: Literal["torch", "onnx", "openvino"] = Field(default="torch", description="What runs the model.")
    revision: Text | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    device: Devices = Field(
        default="auto",
        description="Where the model runs: `auto` (all GPUs, else the best there is), `cpu`, `cuda`, `cuda:1`, `mps`;"
        " `[cuda:0, cuda:1]` is a process on each.",
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32", description="Precision the model computes in."
    )
    query_prompt: Text | None = Field(default=None, description="Text put before every query.")
    query_prompt_name: Text | None = Field(default=None, description="Name of the model's own query prompt.")
    document_prompt: Text | None = Field(default=None, description="Text put before every document.")
    document_prompt_name: Text | None = Field(default=None, description="Name of the model's own document prompt.")
    max_seq_length: int | None = Field(
        default=None, ge=1, description="Tokens of a text the model reads; the model's own limit when null."
    )
    truncate_dim: int | None = Field(
        default=None, ge=1, description="Keep only so many leading dimensions of a vector."
    )
    normalize: bool = Field(default=True, description="Scale every vector to length 1.")
    similarity: Literal["auto", "cosine", "dot", "euclidean", "manhattan"] = Field(
        default="auto",
        description="How vectors are compared; `auto` is cosine when they are normalised, else the"
        " model's own (dot for one of cosine, an endpoint and ready-made vectors).",
    )
    batch_size: CountOrAuto = Field(default="auto", description="Texts the model encodes at once.")
    store_dtype: Literal["float32", "float16"] = Field(
        default="float32", description="Precision of stored vectors; `float16` halves the disk space."
    )
    part_rows: int = Field(
        default=2048, ge=1, description="Texts per part file: the most work an interruption can cost."
    )
    trust_remote_code: bool = Field(default=False, description="Run Python code that comes with a hub model.")
    endpoint: EndpointConfig | None = Field(
        default=None, description="A server with OpenAI's `/v1/embeddings`, instead of a model."
    )
    vectors: VectorsConfig | None = Field(default=None, description="Ready-made vectors, instead of a model.")

    def problems(self) -> Iterator[Problem]:
        own = self.within
        sources = [key for key in ("model", "endpoint", "vectors") if getattr(self, key) is not None]
        if not sources:
            hint = f"Set {own}model, {own}endpoint or {own}vectors."
            yield Problem(("model", ""), "there is no model", hint)
        elif len(sources) > 1:
            yield Problem((sources[1],), f"cannot be used together with {own}{sources[0]}", "Keep one of the two.")
        elif sources != ["model"]:
            prompts = ("query_prompt", "document_prompt") if self.endpoint is not None else ()
            for key in MODEL_ONLY_KEYS:
                if key not in prompts and getattr(self, key) != EncoderConfig.model_fields[key].default:
                    instead = _INSTEAD.get(key) if self.endpoint is not None else None
                    yield Problem((key,), f"applies only to {own}model, which is not set", instead or "Remove it.")
        elif self.revision is not None and self.model is not None and is_not_on_hub(self.model):
            yield Problem(("revision",), f"applies only to a hub model, and {own}model is not one", "Remove it.")
        if isinstance(self.device, tuple) and self.backend != "torch":
            yield Problem(
                ("device", "backend"),
                f"several devices need the torch backend, and {own}backend is {self.backend}",
                f"Name a single device, such as {self.device[0]}.",
            )
        for kind in ("query", "document"):
            prompt, name = f"{kind}_prompt", f"{kind}_prompt_name"
            if self.model is not None and getattr(self, prompt) is not None and getattr(self, name) is not None:
                yield Problem((name,), f"cannot be used together with {own}{prompt}", "Keep one of the two.")
        if not self.normalize and self.similarity == "cosine":
            yield Problem(("similarity", "normalize"), f"cosine needs {own}normalize: true")
        if self.normalize and self.similarity in ("euclidean", "manhattan"):
            yield Problem(("similarity", "normalize"), f"{self.similarity} needs {own}normalize: false")


class _Named(Section):
    """Name and kind of a further encoder; apart, so that they come before its other keys."""

    name: Annotated[Text, AfterValidator(mark)] = Field(
        description="What it is called in `mine.retrievers` and `filter.score`, and its candidates are marked with."
    )
    kind: Literal["dense", "sparse"] = Field(
        default="dense",
        description="`dense` vectors, or `sparse` ones: weights of words, as a `SparseEncoder` of Sentence Transformers"
        " (SPLADE) gives.",
    )


class OtherEncoderConfig(EncoderConfig, _Named):
    """A further encoder, which is a retriever and a scorer of its own."""

    example: ClassVar[str] = "{name: gte, model: NAME}"

    def problems(self) -> Iterator[Problem]:
        yield from super().problems()
        if self.name == BM25:
            yield Problem(("name",), f"'{BM25}' is the search over the words", "Give it another name.")
        if self.kind == "sparse":
            if isinstance(self.device, tuple):
                yield Problem(("device", "kind"), "a sparse encoder runs on a single device", "Name one of them.")
            for key in _DENSE_ONLY:
                if getattr(self, key) != EncoderConfig.model_fields[key].default:
                    yield Problem((key, "kind"), "applies only to dense vectors, and kind is sparse", "Remove it.")


class EmbedConfig(EncoderConfig):
    """How texts become vectors: an embedding model, a server that has one, or ready-made vectors."""

    within: ClassVar[str] = "embed."

    others: Annotated[tuple[OtherEncoderConfig, ...], Strict(False)] = Field(
        default=(),
        description="Further encoders, which find and score candidates too.",
        json_schema_extra={"default": []},
    )

    def problems(self) -> Iterator[Problem]:
        yield from super().problems()
        names = [other.name for other in self.others]
        for i, name in enumerate(names):
            if name in names[:i]:
                yield Problem((f"others.{i}.name",), f"'{name}' is also the name of embed.others.{names.index(name)}")


MODEL_ONLY_KEYS = (
    "backend",
    "revision",
    "device",
    "dtype",
    "query_prompt",
    "query_prompt_name",
    "document_prompt",
    "document_prompt_name",
    "max_seq_length",
    "batch_size",
    "trust_remote_code",
)
"""Keys of `embed` that mean nothing for ready-made vectors, nor, but for the prompts, for an endpoint."""

_DENSE_ONLY = ("truncate_dim", "normalize", "similarity", "store_dtype", "endpoint", "vectors", "backend")
"""Keys that mean nothing for sparse vectors."""

_INSTEAD = {
    "revision": "Set embed.endpoint.revision instead.",
    "query_prompt_name": "An endpoint knows no prompts by name: set embed.query_prompt to the text.",
    "document_prompt_name": "An endpoint knows no prompts by name: set embed.document_prompt to the text.",
    "batch_size": "Set embed.endpoint.batch_texts instead.",
}
"""What to do for an endpoint."""


def is_local_model(model: str, folder: str | None = None) -> bool:
    """Whether a model name is a path: it begins like one, or is a folder that exists (in ``folder``)."""
    if "://" in model:
        return False
    # unlike Path.is_dir, isdir is also false for what no file system could hold
    return model.startswith((".", "/", "~")) or os.path.isdir(os.path.join(folder or "", model))  # noqa: PTH112, PTH118


def is_not_on_hub(model: str) -> bool:
    """Whether a model is a folder or in a package, so that it has no revisions."""
    return model.startswith("package://") or is_local_model(model)
