"""What a person reads when a config file is wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from negmine.config import Config, config_from_dict, load_config
from negmine.config.keys import all_keys
from negmine.config.source import NotYamlError, parse
from negmine.errors import ConfigError, Where

CASES: list[dict[str, str]] = YAML(typ="safe", pure=True).load(Path(__file__).with_name("bad_configs.yaml"))


def refusal(file: str | Path, overrides: tuple[str, ...] = ()) -> ConfigError:
    try:
        load_config(file, overrides)
    except ConfigError as error:
        return error
    pytest.fail(f"{file} was not refused")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_has_no_name_twice() -> None:
    """Every case of the table is told apart by its name."""
    assert len({case["name"] for case in CASES}) == len(CASES) > 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_wrong_file_is_one_line_that_says_all(case: dict[str, str], folder: Path) -> None:
    """The message names file, line, column, key, cause and remedy."""
    Path("c.yaml").write_text(case["yaml"], encoding="utf-8")
    assert str(refusal("c.yaml")) == f"c.yaml:{case['error']}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_caret_is_under_the_column(case: dict[str, str], folder: Path) -> None:
    """The snippet is the offending line and a caret under the column of the message."""
    Path("c.yaml").write_text(case["yaml"], encoding="utf-8")
    error = refusal("c.yaml")
    assert isinstance(error.where, Where)
    assert error.snippet is not None
    line, caret = error.snippet.split("\n")
    assert error.where.line is not None
    assert line == case["yaml"].split("\n")[error.where.line - 1].replace("\x01", "?")
    assert len(caret) == error.where.column


def test_no_message_sounds_like_a_library() -> None:
    """The texts name no validation library and no address."""
    text = " ".join(case["error"].lower() for case in CASES)
    assert not [word for word in ("pydantic", "http", "input should", "validation", "ruamel") if word in text]


def test_the_first_problem_by_position_leads_and_the_others_follow(folder: Path) -> None:
    """Several problems: the first in the file is the error, the rest are counted and listed."""
    Path("c.yaml").write_text("seed: x\nthreads: 0\nseed: 2\ndata: {pairs: p}\nembed: {modle: m}\n")
    error = refusal("c.yaml")
    assert str(error) == "c.yaml:1:7: seed: expected a whole number, found the text 'x' (and 3 more problems)"
    assert error.snippet == (
        "seed: x\n      ^\n"
        "c.yaml:2:10: threads: expected 'auto' or a whole number of at least 1, found the number 0\n"
        "c.yaml:3:1: the key 'seed' is given twice, on line 1 and on line 3\n"
        "c.yaml:5:9: embed.modle: there is no such key"
    )


def test_a_misspelt_required_key_is_named_before_the_missing_one(folder: Path) -> None:
    """What is missing comes after what is there and wrong."""
    Path("c.yaml").write_text("dta: {pairs: p}\nembed: {model: m}\n")
    assert str(refusal("c.yaml")) == (
        "c.yaml:1:1: dta: there is no such key (and 1 more problem). Did you mean 'data'?"
    )


def test_a_missing_file_is_refused(folder: Path) -> None:
    """A path with nothing behind it is named."""
    assert str(refusal("no.yaml")) == "no.yaml: there is no such file. Check the path of the config."


def test_a_folder_is_refused(folder: Path) -> None:
    """A folder given as a config is named as one."""
    message = "this is a folder, not a config file. Give the path of the .yaml file in it."
    assert str(refusal(folder)) == f"{folder}: {message}"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(folder: Path, text: str) -> None:
    """A file with nothing in it says what it needs."""
    Path("c.yaml").write_text(text, encoding="utf-8")
    message = "c.yaml: the file is empty. A config needs at least 'data' and 'embed'."
    assert str(refusal("c.yaml")) == message


def test_a_file_that_is_not_utf8_is_refused(folder: Path) -> None:
    """The line and the byte (counted from 1) of the first bad byte are named."""
    Path("c.yaml").write_bytes(b"seed: 1\nwork_dir: caf\xe9\n")
    assert str(refusal("c.yaml")) == "c.yaml:2 (byte 22): the file is not UTF-8 text. Save it as UTF-8."


def test_a_bomb_of_aliases_is_refused(folder: Path) -> None:
    """Aliases that multiply are refused before they fill the memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    Path("c.yaml").write_text("\n".join(lines))
    assert refusal("c.yaml").cause == "there are too many values"


def test_deep_nesting_is_refused(folder: Path) -> None:
    """Brackets without end are an error of the config, not of the program."""
    Path("c.yaml").write_text("seed: " + "[" * 5000)
    assert refusal("c.yaml").cause == "values are nested too deeply"


def test_a_long_line_is_cut_around_the_caret(folder: Path) -> None:
    """A snippet stays short however long its line is."""
    Path("c.yaml").write_text("data: {pairs: " + "p" * 3000 + ", oops: 1}\nembed: {model: m}\n")
    line, caret = str(refusal("c.yaml").snippet).split("\n")
    assert len(line) <= 120
    assert line[len(caret) - 1 :] == "oops: 1}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mine.k", "--set mine.k: expected key.path=value. For example: --set mine.k=50"),
        ("=3", "--set =3: expected key.path=value. For example: --set mine.k=50"),
        (
            "filter.relativ_margin=1",
            "--set filter.relativ_margin: there is no such key. Did you mean 'filter.relative_margin'?",
        ),
        ("k=3", "--set k: there is no such key. It belongs under 'mine'."),
        ("filtr.max_score=3", "--set filtr.max_score: there is no such key. Did you mean 'filter'?"),
        ("seed.x=3", "--set seed.x: there is no such key"),
        ("mine.k=many", "--set mine.k: expected a whole number, found the text 'many'"),
        ("mine.k='5'", "--set mine.k: expected a whole number, found the text '5'. Remove the quotes."),
        ("mine={kk: 5}", "--set mine: mine.kk: there is no such key. Did you mean 'k'?"),
        ("mine.k=[1", "--set mine.k: the value cannot be read: a bracket is not closed"),
        ("mine.k=!x 1", "--set mine.k: YAML tags (a '!' before a value) are not supported. Remove the tag."),
        (
            "export.3.file=a.jsonl",
            "--set export.3.file: there is no entry 3: the list has 1. Entries count from 0.",
        ),
        ("export.x.file=a.jsonl", "--set export.x.file: there is no such key"),
        (
            "filter.risk.weights=shipped",
            "--set filter.risk.weights: filter.risk: none of as_hard_as, max and target_fnr is set, and a section of"
            " your own replaces the default one. Set one of them, or write risk: null for no limit.",
        ),
        (
            "filter.risk=0.1",
            "--set filter.risk: expected a section (keys with values), found the number 0.1."
            " Write risk: {max: 0.1}, or null.",
        ),
        (
            "mine.k=2",
            "--set mine.k: 5 negatives (filter.num_negatives) cannot come from 2 candidates (mine.k)",
        ),
    ],
)
def test_a_wrong_override_is_named(folder: Path, override: str, message: str) -> None:
    """An error of --set names the option and the key."""
    Path("c.yaml").write_text("data: {pairs: p}\nembed: {model: m}\n")
    assert str(refusal("c.yaml", (override,))) == message


def test_an_override_below_a_wrong_value_reports_the_file(folder: Path) -> None:
    """A section that is a number in the file stays the file's error."""
    Path("c.yaml").write_text("data: {pairs: p}\nembed: {model: m}\nmine: 3\n")
    message = "c.yaml:3:7: mine: expected a section (keys with values), found the number 3"
    assert str(refusal("c.yaml", ("mine.k=5",))) == message


def test_a_mapping_from_python_is_checked_too() -> None:
    """An error of a dict names the key alone."""
    with pytest.raises(ConfigError, match=r"^mine\.k: expected a whole number, found the text 'x'$"):
        config_from_dict({"data": {"pairs": "p"}, "embed": {"model": "m"}, "mine": {"k": "x"}})


_SCALARS = st.sampled_from(
    [
        "1",
        "-1",
        "1e999",
        "null",
        "~",
        "true",
        "abc",
        "'x'",
        '"\\ud800"',
        "[]",
        "{}",
        "[a, 1]",
        "*a",
        "&a 1",
        "!!int x",
        ".nan",
        "2GB",
        "auto",
        "package://x",
        "~nobody/x",
        '"\\0"',
        "1_0",
        "0o9",
        "2020-01-01",
        "a: b",
    ]
)
_LINES = st.builds(
    lambda depth, key, value: f"{'  ' * depth}{key}: {value}",
    st.integers(0, 2),
    st.sampled_from([part for key in all_keys() for part in key.split(".")]) | st.text(max_size=5),
    _SCALARS | st.text(max_size=20),
)


@settings(max_examples=300, deadline=None)
@given(text=st.text() | st.lists(_LINES, max_size=12).map("\n".join) | st.text("[]{}:-,&*!|>'\"%@`#? \t\na1"))
def test_any_text_is_a_config_or_a_config_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No text, however odd, raises anything but ConfigError."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(ConfigError):
        load_config(file)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from(all_keys()), _PLAIN, max_size=6),
    model=st.just("m") | _PLAIN,
)
def test_any_mapping_is_a_config_or_a_config_error(values: dict[str, Any], model: Any) -> None:
    """No value of any key raises anything but ConfigError."""
    mapping: dict[str, Any] = {"data": {"pairs": "p"}, "embed": {"model": model}}
    for key, value in values.items():
        *parents, last = key.split(".")
        node = mapping
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    with suppress(ConfigError):
        assert isinstance(config_from_dict(mapping), Config)


@given(text=st.text())
def test_any_override_is_applied_or_refused(text: str) -> None:
    """The text of an override is a value or not YAML, and nothing else."""
    with suppress(NotYamlError):
        parse(text)
