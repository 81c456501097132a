"""Reading good configs: paths, overrides, YAML features."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from negmine.config import Config, all_keys, config_from_dict, get, load_config
from negmine.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
LEAST = "data: {pairs: p.jsonl}\nembed: {model: m}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder ``conf`` next to the current folder ``here``."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def load(folder: Path, text: str, *overrides: str) -> Config:
    file = folder / "conf" / "c.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides)


def test_paths_of_a_file_are_relative_to_its_folder(folder: Path) -> None:
    """A config can be run from anywhere."""
    config = load(folder, "work_dir: ../runs\n" + LEAST)
    assert config.work_dir == str(folder / "runs")
    assert config.data.pairs == str(folder / "conf" / "p.jsonl")


def test_the_default_work_dir_is_relative_to_the_config_too(folder: Path) -> None:
    """Leaving work_dir out means the same as writing its default."""
    assert load(folder, LEAST).work_dir == str(folder / "conf" / "runs" / "negmine")


def test_paths_of_overrides_are_relative_to_the_current_folder(folder: Path) -> None:
    """What is typed in a shell means what the shell means."""
    config = load(folder, LEAST, "data.pairs=x.jsonl", "work_dir=../w")
    assert config.data.pairs == str(folder / "here" / "x.jsonl")
    assert config.work_dir == str(folder / "w")


def test_an_override_of_a_section_brings_its_paths(folder: Path) -> None:
    """Paths inside an overriding section are relative to the current folder too."""
    text = "data: {pairs: p}\nembed: {}\n"
    config = load(folder, text, "embed.vectors={corpus: c.npy, queries: q.npy}")
    assert get(config, "embed.vectors.corpus") == str(folder / "here" / "c.npy")


def test_a_relative_config_path_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config itself may be named relative to the current folder."""
    (folder / "conf" / "c.yaml").write_text(LEAST)
    assert load_config("../conf/c.yaml").data.pairs == str(folder / "conf" / "p.jsonl")


def test_home_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path may begin with ~."""
    monkeypatch.setenv("HOME", "/home/someone")
    config = load(folder, "data: {pairs: ~/p.jsonl}\nembed: {model: ~/m}\n")
    assert (config.data.pairs, config.embed.model) == ("/home/someone/p.jsonl", "/home/someone/m")


def test_environment_variables_are_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config means the same in every shell."""
    monkeypatch.setenv("X", "y")
    assert load(folder, "work_dir: $X\n" + LEAST).work_dir == str(folder / "conf" / "$X")


@pytest.mark.parametrize("model", ["package://a/b", "hf://a/b", "sentence-transformers/all-MiniLM-L6-v2"])
def test_models_that_are_no_folder_are_left_alone(folder: Path, model: str) -> None:
    """Hub names and addresses are no paths."""
    assert load(folder, LEAST, f"embed.model={model}").embed.model == model


def test_a_model_folder_is_found_next_to_the_config(folder: Path) -> None:
    """A folder that exists is a local model, even without ./ in front."""
    (folder / "conf" / "my" / "model").mkdir(parents=True)
    config = load(folder, "data: {pairs: p}\nembed: {model: my/model}\n")
    assert config.embed.model == str(folder / "conf" / "my" / "model")


def test_a_revision_of_a_folder_next_to_the_config_is_refused(folder: Path) -> None:
    """A local model has no revision, whatever its name looks like."""
    (folder / "conf" / "my").mkdir()
    with pytest.raises(ConfigError, match=r"embed\.revision: applies only to a hub model"):
        load(folder, "data: {pairs: p}\nembed: {model: my, revision: main}\n")


def test_urls_of_data_are_left_alone(folder: Path) -> None:
    """A path with :// is an address."""
    assert load(folder, LEAST, "data.pairs=hf://d/p.jsonl").data.pairs == "hf://d/p.jsonl"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("mine.k=50", "mine.k", 50),
        ("filter.relative_margin=null", "filter.relative_margin", None),
        ("filter.relative_margin=", "filter.relative_margin", None),
        ("filter={num_negatives: 2}", "filter.num_negatives", 2),
        ("filter.risk=null", "filter.risk", None),
        ("filter.risk.max=0.1", "filter.risk.max", 0.1),
        ("filter.risk.max=0.1", "filter.risk.as_hard_as", None),
        ("filter.near_duplicates.jaccard=0.9", "filter.near_duplicates.jaccard", 0.9),
        ("filter.near_duplicates=null", "filter.near_duplicates", None),
        ("data.columns.anchor=question", "data.columns.anchor", "question"),
        ("memory_limit=1GiB", "memory_limit", 2**30),
        ("embed.query_prompt='query: '", "embed.query_prompt", "query: "),
        ("embed.query_prompt=a=b", "embed.query_prompt", "a=b"),
        ("export.0.file=x.parquet", "export.0.file", "x.parquet"),
        ("export.0.scores=true", "export.0.scores", True),
        ("export.1={format: n-tuple, file: n.jsonl}", "export.1.format", "n-tuple"),
        ("export=[{format: n-tuple, file: n.jsonl}]", "export.0.file", "n.jsonl"),
        ("index.dense=yes", "index.dense", "yes"),
    ],
)
def test_an_override_sets_a_key(folder: Path, override: str, key: str, value: Any) -> None:
    """--set takes a YAML 1.2 value for any key, whether its section is in the file or not."""
    assert get(load(folder, LEAST, override), key) == value


def test_a_later_override_wins(folder: Path) -> None:
    """Overrides are applied from left to right."""
    assert load(folder, LEAST, "mine.k=7", "mine={k: 8}", "mine.k=9").mine.k == 9


def test_an_override_can_give_a_section_that_is_null_in_the_file(folder: Path) -> None:
    """A null section is made when one of its keys is set."""
    text = "data: {pairs: p}\nembed: {model: null, vectors: null}\n"
    config = load(folder, text, "embed.vectors.corpus=/c", "embed.vectors.queries=/q")
    assert get(config, "embed.vectors") == {"corpus": "/c", "queries": "/q"}


def test_an_override_can_mend_a_file(folder: Path) -> None:
    """Only the result counts: a wrong value that is replaced is no error."""
    assert load(folder, LEAST + "seed: x\n", "seed=3").seed == 3


def test_an_override_adds_to_a_section_of_the_file(folder: Path) -> None:
    """What the file sets of a guard stays when --set changes another of its keys."""
    text = LEAST + "filter: {risk: {max: 0.3, target_fnr: 0.1}}\n"
    risk = {"as_hard_as": None, "max": 0.2, "target_fnr": 0.1, "weights": "auto"}
    assert get(load(folder, text, "filter.risk.max=0.2"), "filter.risk") == risk


def test_anchors_and_merges_work(folder: Path) -> None:
    """YAML's own ways to repeat a value are fine; a key of its own beats a merged one."""
    text = (
        "data: {pairs: p}\nembed: {model: m}\n"
        "export:\n  - &first {format: triplet, file: a.jsonl, scores: true}\n"
        "  - {<<: *first, file: b.jsonl}\n"
    )
    assert get(load(folder, text), "export.1") == {
        "format": "triplet",
        "file": "b.jsonl",
        "scores": True,
        **dict.fromkeys(("shard_rows", "negatives_per_row", "one_positive_per_row", "prompt", "type", "passage_role")),
    }


def test_a_wrong_merged_value_is_shown_where_it_is_written(folder: Path) -> None:
    """The place of a merged value is that of its anchor."""
    text = LEAST + "export:\n  - &a {format: triplet, file: a.jsonl}\n  - {<<: *a}\n"
    with pytest.raises(ConfigError, match=r"c\.yaml:4:26: export\.1\.file: 'a\.jsonl' is also the file of export\.0"):
        load(folder, text)


@pytest.mark.parametrize("text", ["\ufeff" + LEAST, LEAST.replace("\n", "\r\n"), "---\n" + LEAST + "...\n"])
def test_marks_of_editors_are_fine(folder: Path, text: str) -> None:
    """A byte order mark, Windows line ends and document marks change nothing."""
    (folder / "conf" / "c.yaml").write_bytes(text.encode())
    assert load_config(folder / "conf" / "c.yaml").seed == 0


def test_words_that_were_booleans_are_text(folder: Path) -> None:
    """YAML 1.2: yes, no, on and off are words; 010 is ten."""
    config = load(folder, LEAST + "index: {dense: on}\nseed: 010\n")
    assert (config.index.dense, config.seed) == ("on", 10)


def test_python_users_may_give_paths_and_tuples(tmp_path: Path) -> None:
    """config_from_dict takes what Python code has at hand."""
    config = config_from_dict(
        {"data": {"pairs": Path("p"), "corpus": "c", "metadata": ("doc",)}, "embed": {"model": "m"}}, tmp_path
    )
    assert config.data.pairs == str(tmp_path / "p")
    assert config.data.metadata == ("doc",)


def test_the_given_mapping_is_not_changed() -> None:
    """config_from_dict works on a copy."""
    mapping = {"data": {"pairs": "p"}, "embed": {"model": "m"}}
    config_from_dict(mapping)
    assert mapping == {"data": {"pairs": "p"}, "embed": {"model": "m"}}


def test_a_mapping_is_wanted() -> None:
    """Anything else than a mapping is named."""
    with pytest.raises(ConfigError, match="a config is a mapping of keys, not list"):
        config_from_dict([])  # type: ignore[arg-type]


def test_importing_the_config_is_light() -> None:
    """Loading a config needs none of the heavy packages."""
    heavy = "{'pyarrow', 'torch', 'faiss', 'numpy', 'transformers', 'sentence_transformers'}"
    code = f"import sys, negmine.config; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.name)
def test_the_example_loads(file: Path) -> None:
    """Every config in configs/ is valid."""
    load_config(file)


def test_the_reference_shows_every_key() -> None:
    """reference.yaml writes out every key; null stands for a whole section."""
    from negmine.config.source import parse

    document = parse((CONFIGS / "reference.yaml").read_text(encoding="utf-8"))
    shown = {".".join(map(str, path)): path for path in document.keys}
    null = {key for key, path in shown.items() if document.has(path) and get_plain(document.value, path) is None}
    sections = {key: [key[:end] for end, letter in enumerate(key) if letter == "."] for key in all_keys()}
    missing = [key for key, above in sections.items() if key not in shown and not null & set(above)]
    assert missing == []
    assert {"export.0.scores", "export.0.shard_rows"} <= set(shown)


def get_plain(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def test_the_reference_shows_the_defaults() -> None:
    """reference.yaml is the defaults, but for pairs and model."""
    least = {"data": {"pairs": "pairs.jsonl"}, "embed": {"model": "sentence-transformers/all-MiniLM-L6-v2"}}
    assert load_config(CONFIGS / "reference.yaml") == config_from_dict(least, CONFIGS)


def test_the_nv_retriever_example_keeps_95_percent() -> None:
    """TopK-PercPos: at most 95% of the positive's score, 4 negatives."""
    config = load_config(CONFIGS / "nv-retriever.yaml")
    assert (config.filter.relative_margin, config.filter.num_negatives) == (0.05, 4)
    assert (config.filter.risk, config.filter.near_duplicates) == (None, None)


def test_the_ance_example_samples_from_the_top_200() -> None:
    """ANCE: a random draw from the 200 best, no guard."""
    config = load_config(CONFIGS / "ance-window.yaml")
    rules = config.filter
    window = (rules.range_min, rules.range_max, rules.sampling_strategy, rules.relative_margin, rules.risk)
    assert window == (0, 200, "random", None, None)
    assert config.mine.k == 200


def test_the_demo_reads_the_sample_data() -> None:
    """The demo's files exist where it looks for them."""
    config = load_config(CONFIGS / "demo.yaml")
    assert config.data.pairs is not None
    assert config.data.corpus is not None
    assert Path(config.data.pairs).is_file()
    assert Path(config.data.corpus).is_file()
