"""The ``engine`` section of a config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from negmine.config.values import CountOrAuto, PathText, Problem, Section, found, worded


def _cluster(address: str) -> str:
    """``address`` when it is ``auto``, ``local`` or ``host:port``."""
    host, _, port = address.rpartition(":")
    if address not in ("auto", "local") and not (host and "/" not in host and port.isdecimal()):
        raise worded(
            f"expected auto, local or host:port, found {found(address)}",
            "host:port is the address that `ray start --head` prints, such as 10.0.0.1:6379.",
        )
    return address


def _gpus(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e4):
        if value == "auto" or value <= 1 or value == int(value):
            return value
        raise worded(f"above 1 only whole GPUs can be given, found {found(value)}")
    raise worded(f"expected 'auto' or a number of at least 0, found {found(value)}")


class EngineConfig(Section):
    """What runs the tasks of a stage."""

    kind: Literal["local", "ray"] = Field(
        default="local", description="`local` runs them on this machine, `ray` on the machines of a Ray cluster."
    )
    address: Annotated[str, AfterValidator(_cluster)] = Field(
        default="auto",
        description="The cluster: `auto` is the one that runs on this machine (or `RAY_ADDRESS`), `local` starts one"
        " on this machine for the run, `host:port` is the head of another.",
        json_schema_extra={"pattern": r"^(auto|local|[^/]+:[0-9]+)$", "examples": ["auto", "local", "10.0.0.1:6379"]},
    )
    workers: CountOrAuto = Field(
        default="auto",
        description="Worker processes; `auto` takes as many as the cluster has room for. Each one reserves"
        " `cpus_per_worker` CPUs and `memory_limit` of memory.",
    )
    cpus_per_worker: int = Field(default=1, ge=1, description="CPUs that a worker reserves: as many threads it uses.")
    gpus_per_worker: Annotated[
        float | Literal["auto"],
        BeforeValidator(_gpus),
        WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "number", "minimum": 0}]}),
    ] = Field(
        default="auto",
        description="GPUs that a worker reserves while it runs a model; `auto`: 1 where the cluster has GPUs and"
        " `embed.device` is not `cpu`. 0.5 lets two workers share one.",
    )
    scratch: PathText | None = Field(
        default=None,
        description="With a URL as `work_dir`: the local folder in which the files are worked on. `null`: the cache"
        " folder (`NEGMINE_CACHE_DIR`, else `negmine` in `XDG_CACHE_HOME` or `~/.cache`).",
    )
    retries: int = Field(
        default=3, ge=0, description="How often a task is given to another worker when its worker or machine is lost."
    )

    def problems(self) -> Iterator[Problem]:
        if self.kind == "local":
            for name, field in EngineConfig.model_fields.items():
                if name not in ("kind", "scratch") and getattr(self, name) != field.default:
                    yield Problem(
                        (name,), "applies only to a Ray cluster, and engine.kind is local", "Set engine.kind: ray."
                    )
