"""The config of a run: its sections, strict loading, JSON Schema and reference."""

from __future__ import annotations

from negmine.config.keys import PATH_KEYS, all_keys, get
from negmine.config.loading import config_from_dict, load_config
from negmine.config.models import (
    ColumnsConfig,
    Config,
    DataConfig,
    EmbedConfig,
    EngineConfig,
    ExportConfig,
    FilterConfig,
    IndexConfig,
    MineConfig,
    RunConfig,
    VectorsConfig,
)
from negmine.config.schema import json_schema, reference_markdown

__all__ = [
    "PATH_KEYS",
    "ColumnsConfig",
    "Config",
    "DataConfig",
    "EmbedConfig",
    "EngineConfig",
    "ExportConfig",
    "FilterConfig",
    "IndexConfig",
    "MineConfig",
    "RunConfig",
    "VectorsConfig",
    "all_keys",
    "config_from_dict",
    "get",
    "json_schema",
    "load_config",
    "reference_markdown",
]
