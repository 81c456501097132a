"""Config of the cross-encoder that scores candidates once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from negmine.config.embedding import is_not_on_hub, server_problems
from negmine.config.values import CountOrAuto, Problem, Section, Text


class RerankEndpointConfig(Section):
    """A reranker behind a server: `/rerank` of TEI, or `/v1/rerank` as Cohere, Jina, vLLM and Infinity have it."""

    example: ClassVar[str] = "{url: 'http://localhost:8080', style: tei}"

    url: Text = Field(description="Address of the server: `http://host:8080` or the whole `.../rerank`.")
    style: Literal["tei", "cohere"] = Field(
        default="tei", description="What it is asked like: `tei` (`query` and `texts`) or `cohere` (with `documents`)."
    )
    model: Text | None = Field(
        default=None, description="Name of the model, as the server knows it; needed with `cohere`, unknown to `tei`."
    )
    revision: Text | None = Field(
        default=None,
        description="Any text of your own: another one scores anew, as when the server has another model by now.",
    )
    api_key_env: Text | None = Field(
        default=None, description="Environment variable that holds the key, which is sent as bearer token."
    )
    batch_texts: int = Field(default=32, ge=1, description="Passages of a request at most.")
    concurrency: int = Field(default=8, ge=1, le=1024, description="Requests at a time (of each worker).")
    timeout: float = Field(default=120.0, gt=0, description="Seconds that a request may take.")
    retries: int = Field(
        default=8, ge=0, description="How often a request is sent again after 429, 5xx, a timeout or a lost connection."
    )

    def problems(self) -> Iterator[Problem]:
        yield from server_problems(self.url, self.api_key_env, "rerank.endpoint")
        if self.style == "cohere" and self.model is None:
            yield Problem(("model", "style"), "a server of this style is told which model to use", "Name the model.")
        if self.style == "tei" and self.model is not None:
            yield Problem(
                ("model", "style"), "a server of the style tei has one model and is told no name", "Remove it."
            )


class RerankConfig(Section):
    """The cross-encoder that scores candidates and positives once more, before they are filtered."""

    example: ClassVar[str] = "{model: NAME}"

    model: Text | None = Field(
        default=None, description="Cross-encoder: a hub name, a local folder or package://module/path."
    )
    backend: Literal["torch", "onnx", "openvino"] = Field(default="torch", description="What runs the model.")
    revision: Text | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    device: Text = Field(default="auto", description="Where the model runs: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32", description="Precision the model computes in."
    )
    max_length: int | None = Field(
        default=None,
        ge=4,
        description="Tokens of query and passage together that the model reads; the model's own limit when null.",
    )
    batch_size: CountOrAuto = Field(default="auto", description="Pairs the model scores at once.")
    query_prompt: Text | None = Field(default=None, description="Text put before every query.")
    activation: Literal["auto", "sigmoid", "identity"] = Field(
        default="auto",
        description="What becomes of the model's output: `sigmoid` brings it between 0 and 1, `identity` leaves the"
        " logit as it is. `auto` is the sigmoid; of an endpoint it is what the server gives.",
    )
    depth: int | None = Field(
        default=None,
        ge=1,
        description="Score only so many of a query's candidates, the best as mined; null for all. The others are no"
        " negatives where the reranker decides.",
    )
    part_pairs: int = Field(
        default=16_384,
        ge=1,
        description="Pairs per part file, in whole queries: the most work an interruption can cost.",
    )
    trust_remote_code: bool = Field(default=False, description="Run Python code that comes with a hub model.")
    endpoint: RerankEndpointConfig | None = Field(
        default=None, description="A server that has the reranker, instead of a model."
    )

    def problems(self) -> Iterator[Problem]:
        if self.model is None and self.endpoint is None:
            yield Problem(
                ("model", ""),
                "there is no reranker",
                "Set rerank.model or rerank.endpoint, or write rerank: null to do without.",
            )
        elif self.model is not None and self.endpoint is not None:
            yield Problem(("endpoint",), "cannot be used together with rerank.model", "Keep one of the two.")
        elif self.model is not None and self.revision is not None and is_not_on_hub(self.model):
            yield Problem(("revision",), "applies only to a hub model, and rerank.model is not one", "Remove it.")
        elif self.endpoint is not None:
            for key in _MODEL_ONLY:
                if getattr(self, key) != RerankConfig.model_fields[key].default:
                    yield Problem(
                        (key,), "applies only to rerank.model, which is not set", _INSTEAD.get(key, "Remove it.")
                    )
            if self.endpoint.style == "cohere" and self.activation != "auto":
                yield Problem(
                    ("activation", "endpoint.style"),
                    "a server of the style cohere cannot be asked for it",
                    "Remove it.",
                )
        if self.backend != "torch" and self.dtype != "float32":
            yield Problem(
                ("dtype", "backend"), f"{self.backend} runs in the precision of its own model file", "Remove it."
            )


_MODEL_ONLY = ("backend", "revision", "device", "dtype", "max_length", "batch_size", "trust_remote_code")
"""Keys of `rerank` that mean nothing for an endpoint."""
_INSTEAD = {
    "revision": "Set rerank.endpoint.revision instead.",
    "batch_size": "Set rerank.endpoint.batch_texts instead.",
}
