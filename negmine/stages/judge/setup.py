"""How a config's ``judge`` section becomes language models, and what identifies them."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

from negmine.config import Config
from negmine.config.judging import JudgeConfig, JudgeEndpointConfig
from negmine.errors import ConfigError, InputError
from negmine.remote.fetching import input_file
from negmine.scoring.chat import Chat, Settings
from negmine.scoring.judge_prompts import Prompts, shipped_prompt
from negmine.web.keys import api_key

JUDGEMENTS = "judgements.jsonl"
"""What people said, in the layout of ``labels.jsonl``."""
ROLES = ("system", "user")
NAMES = ("endpoint", "strong")
"""The keys of the language models, in the order in which they are asked."""


def judge_section(config: Config) -> JudgeConfig:
    """The section. Raises ConfigError where there is none."""
    if config.judge is None:
        raise ConfigError(
            "no judge is configured",
            where="judge",
            hint="Set judge.endpoint, or write judge: {} for judgements of people alone.",
        )
    return config.judge


def prompt_files(config: Config) -> dict[str, Path]:
    """The files of the user's own prompts, by config key. Raises InputError for one that is not there."""
    prompts = judge_section(config).prompts
    named = {f"judge.prompts.{role}": getattr(prompts, role) for role in ROLES}
    files = {key: input_file(config, name) for key, name in named.items() if name is not None}
    for key, path in files.items():
        if not path.is_file():
            raise InputError("this file does not exist", where=str(path), hint=f"Check {key}.")
    return files


def prompts_of(config: Config) -> Prompts:
    """The words of the config, or those that are shipped. Raises InputError, ConfigError."""
    judge, files, texts = judge_section(config), prompt_files(config), {}
    for role in ROLES:
        path = files.get(f"judge.prompts.{role}")
        texts[role] = shipped_prompt(role) if path is None else _read(path, f"judge.prompts.{role}")
    prompts = Prompts(**texts)
    try:
        _ = prompts.template
    except ValueError as error:
        raise ConfigError(
            f"{judge.prompts.user}: {error}",  # what is shipped is right
            where="judge.prompts.user",
            hint="Begin with the shipped one: negmine judge --dry-run shows it.",
        ) from error
    return prompts


def judge_id(judge: JudgeEndpointConfig, prompts: Prompts) -> str:
    """16 hexadecimal digits: the model and the words it is asked with. What has others was judged by another judge."""
    what: dict[str, Any] = {
        "model": judge.model,
        "revision": judge.revision,
        "temperature": judge.temperature,
        "prompts": prompts.digest,
    }
    return blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=8).hexdigest()


def open_chat(judge: JudgeEndpointConfig, section: str, response_format: str) -> Chat:
    """A language model, ready to be asked. Raises ConfigError for a key that is not there."""
    return Chat(
        Settings(
            url=judge.url,
            model=judge.model,
            key=api_key(judge.api_key_env, f"{section}.api_key_env"),
            temperature=judge.temperature,
            max_tokens=judge.max_tokens,
            response_format=response_format,
            concurrency=judge.concurrency,
            timeout=judge.timeout,
            retries=judge.retries,
            section=section,
        )
    )


def _read(path: Path, key: str) -> str:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("this file is not UTF-8 text", where=str(path), hint=f"Save it as UTF-8 ({key}).") from error
    if not text.strip():
        raise InputError("this file is empty", where=str(path), hint=f"Write the prompt into it, or remove {key}.")
    return text
