"""The sections of a config: defaults, types, and what counts as a good value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from negmine.config import (
    PATH_KEYS,
    Config,
    EmbedConfig,
    FilterConfig,
    MineConfig,
    all_keys,
    config_from_dict,
    get,
)
from negmine.errors import ConfigError

LEAST: dict[str, Any] = {"data": {"pairs": "p.jsonl"}, "embed": {"model": "m"}}


def config(**sections: Any) -> Config:
    return config_from_dict({**LEAST, **sections}, base_dir="/base")


def test_two_keys_are_enough() -> None:
    """Pairs and a model make a config; everything else has a default."""
    assert config().export[0].file == "train.jsonl"


def test_a_section_can_be_made_alone() -> None:
    """Python code can make one section with its defaults."""
    assert (MineConfig().k, FilterConfig().num_negatives) == (100, 5)


def test_the_guard_is_on_unless_said_otherwise() -> None:
    """Left alone, filter limits the probability of being relevant, to be as hard as a margin of 5%."""
    risk = {"as_hard_as": 0.05, "max": 0.5, "target_fnr": None, "weights": "auto"}
    assert get(config(), "filter.risk") == risk
    assert get(config(), "filter.near_duplicates") == {"jaccard": 0.8, "cosine": None}
    assert get(config(), "filter.relative_margin") is None


def test_a_risk_section_replaces_the_default_one() -> None:
    """What a section of one's own leaves out is not set."""
    risk = {"as_hard_as": None, "max": 0.1, "target_fnr": None, "weights": "auto"}
    assert get(config(filter={"risk": {"max": 0.1}}), "filter.risk") == risk


@pytest.mark.parametrize("section", ["risk", "near_duplicates"])
def test_a_guard_can_be_switched_off(section: str) -> None:
    """null is for no such rule."""
    assert get(config(filter={section: None}), f"filter.{section}") is None


def test_a_cosine_of_near_duplicates_adds_to_the_texts() -> None:
    """The comparison of texts stays, unless it is set to null."""
    near = {"jaccard": 0.8, "cosine": 0.95}
    assert get(config(filter={"near_duplicates": {"cosine": 0.95}}), "filter.near_duplicates") == near


@pytest.mark.parametrize(
    "rules",
    [
        {"sampling_strategy": "softmax", "sampling_temperature": 0.5},
        {"sampling_strategy": "simans", "sampling_temperature": 0.5, "sampling_offset": -1},
        {"sampling_temperature": 1.0, "sampling_offset": 0.0},
        {"random_share": 0.2},
        {"random_share": 1},
        {"near_duplicates": {"jaccard": None, "cosine": 0.9}},
        {"leak_rate": 0.05, "max_reuse": 1, "sampling_strategy": "spread"},
    ],
)
def test_rules_that_go_together_are_accepted(rules: dict[str, Any]) -> None:
    """Each way to choose takes the keys that apply to it; a default written out is no mistake."""
    config(filter=rules)


def test_a_section_made_alone_keeps_its_rules() -> None:
    """A rule between keys holds for a section made in Python too."""
    with pytest.raises(ValidationError, match="9 is not below filter"):
        FilterConfig(range_min=9, range_max=3)


def test_a_config_cannot_be_changed() -> None:
    """A loaded config is frozen, so that a fingerprint stays true."""
    with pytest.raises(ValidationError, match="frozen"):
        config().seed = 3


def test_a_config_survives_a_round_trip() -> None:
    """The dumped values of a config make the same config again."""
    first = config(filter={"max_score": 1}, memory_limit="1.5GiB")
    assert config_from_dict(first.model_dump(mode="json"), base_dir="/elsewhere") == first


def test_a_whole_number_is_a_number() -> None:
    """Where a number may have a fraction, one without is fine."""
    assert config(filter={"max_score": 1}).filter.max_score == 1.0


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("500MB", 500_000_000),
        ("800M", 800_000_000),
        ("2GB", 2_000_000_000),
        ("2 gb", 2_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("64MB", 64_000_000),
        ("62Mi", 65_011_712),
        ("64000000B", 64_000_000),
        (123_456_789, 123_456_789),
    ],
)
def test_memory_is_stored_as_bytes(written: str | int, size: int) -> None:
    """MB is 10^6 bytes, MiB is 2^20, a plain number is bytes."""
    assert config(memory_limit=written).memory_limit == size


@pytest.mark.parametrize("written", ["", "GB", "2XB", "-2GB", "2GBB", "1e9", "٢GB", True, 2e9, None, "9" * 50 + "GB"])
def test_other_amounts_of_memory_are_refused(written: Any) -> None:
    """What is no amount is never guessed at."""
    with pytest.raises(ConfigError, match="expected an amount of memory"):
        config(memory_limit=written)


@pytest.mark.parametrize(
    "data",
    [
        {"pairs": "p"},
        {"pairs": "p", "corpus": "c", "metadata": ["doc"]},
        {"format": "pairs", "pairs": "p"},
        {"path": "d", "split": "dev", "min_grade": 2},
        {"format": "beir", "path": "d"},
        {"queries": "q", "qrels": "r", "corpus": "c"},
        {"format": "beir", "queries": "q", "qrels": "r", "corpus": "c", "min_grade": 0.5},
    ],
)
def test_each_source_of_data_is_accepted(data: dict[str, Any]) -> None:
    """Pairs, a BEIR folder, or queries with qrels and corpus."""
    config(data=data)


@pytest.mark.parametrize(
    "embed",
    [
        {"vectors": {"corpus": "c", "queries": "q"}},
        {
            "vectors": {"corpus": "c", "queries": "q"},
            "truncate_dim": 64,
            "normalize": False,
            "similarity": "dot",
        },
        {"vectors": {"corpus": "c", "queries": "q"}, "device": "auto", "batch_size": "auto"},
        {"model": "m", "revision": "main", "query_prompt": "q: ", "document_prompt_name": "doc"},
        {"model": "m", "normalize": False, "similarity": "manhattan"},
        {"model": "m", "similarity": "dot"},
        {"model": "m", "batch_size": 3},
    ],
)
def test_each_way_to_embed_is_accepted(embed: dict[str, Any]) -> None:
    """A model or ready-made vectors, with the keys that apply."""
    config(embed=embed)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backend", "onnx"),
        ("revision", "main"),
        ("device", "cpu"),
        ("dtype", "float16"),
        ("query_prompt", "q"),
        ("query_prompt_name", "q"),
        ("document_prompt", "d"),
        ("document_prompt_name", "d"),
        ("max_seq_length", 5),
        ("batch_size", 5),
        ("trust_remote_code", True),
    ],
)
def test_a_model_key_with_ready_vectors_is_refused(key: str, value: Any) -> None:
    """No option is silently ignored: a key for a model says so where there is none."""
    with pytest.raises(ConfigError, match=rf"^embed\.{key}: applies only to embed\.model, which is not set"):
        config(embed={"vectors": {"corpus": "c", "queries": "q"}, key: value})


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "sub/a.jsonl.zst", "a b.parquet"])
def test_export_files_of_a_known_kind_are_accepted(name: str) -> None:
    """A name inside the export folder whose ending says how to write it."""
    config(export=[{"format": "triplet", "file": name}])


@pytest.mark.parametrize("name", ["a\\b.jsonl", "a//b.jsonl", "sub/.jsonl", "a/.b/c.jsonl", "a\n.jsonl", "a.jsonl/"])
def test_export_files_that_could_surprise_are_refused(name: str) -> None:
    """Hidden, empty and unprintable parts of a name are refused."""
    with pytest.raises(ConfigError, match=r"^export\.0\.file: "):
        config(export=[{"format": "triplet", "file": name}])


def test_export_files_differ_in_more_than_case() -> None:
    """Two files that are one on some disks are refused."""
    entries = [{"format": "triplet", "file": "a.jsonl"}, {"format": "n-tuple", "file": "A.jsonl"}]
    with pytest.raises(ConfigError, match=r"^export\.1\.file: 'A\.jsonl' is also the file of export\.0$"):
        config(export=entries)


def test_get_reads_a_dotted_key() -> None:
    """A key is read by the name that messages and the reference use."""
    assert get(config(), "data.columns.anchor") == "anchor"


def test_get_gives_plain_values() -> None:
    """Sections and lists come as what JSON knows."""
    unset = ("shard_rows", "negatives_per_row", "one_positive_per_row", "prompt", "type", "passage_role")
    entry = {"format": "triplet", "file": "train.jsonl", "scores": False, **dict.fromkeys(unset)}
    assert get(config(), "export") == [entry]
    assert get(config(), "mine") == {
        "k": 100,
        "fusion": "none",
        "quotas": {},
        "part_queries": 8192,
        "retrievers": ["dense"],
    }
    assert get(config(data={"path": "d"}), "data.metadata") == []


def test_get_reads_an_entry_of_a_list() -> None:
    """An entry is named by its position from 0."""
    assert get(config(), "export.0.file") == "train.jsonl"


def test_get_below_a_null_section_is_null() -> None:
    """Without ready-made vectors their files are null."""
    assert get(config(), "embed.vectors.corpus") is None


@pytest.mark.parametrize("key", ["mine.kk", "nope", "", "export.5", "export.x", "seed.x", "model_fields"])
def test_get_refuses_an_unknown_key(key: str) -> None:
    """A key there is none of is an error that names it."""
    with pytest.raises(ConfigError, match=f"there is no (key|entry) '{key}'"):
        get(config(), key)


def test_all_keys_can_be_read() -> None:
    """Every listed key has a value."""
    assert all_keys()[:2] == ("work_dir", "seed")
    assert {"export", "embed.vectors.corpus", "data.columns.anchor"} <= set(all_keys())
    for key in all_keys():
        get(config(), key)


def test_path_keys_are_keys() -> None:
    """Every key that holds a path exists."""
    assert set(PATH_KEYS) <= set(all_keys())


def test_a_key_of_each_section_has_a_description() -> None:
    """Users can read the meaning of every key."""
    seen: list[type] = [Config]
    for section in seen:
        for field in section.model_fields.values():  # type: ignore[attr-defined]
            assert field.description
            assert field.description.endswith(".")
    assert EmbedConfig.model_fields["vectors"].description
