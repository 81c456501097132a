"""tune: what it chooses, that test labels do not, that it goes on where it stopped, and what it says."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))
from planted import COPIES, TOPICS, make_run

import negmine
from negmine.config import Config, load_config
from negmine.evaluation import TEST, TRAIN, Experiment, Outcome
from negmine.remote.opening import open_run
from negmine.rounds import trials as trials_module
from negmine.rounds.space import DEFAULT, Candidate
from negmine.rounds.trials import Trials
from negmine.rounds.tuning import Tuning, tune
from negmine.stages.base import Run
from negmine.sweep.evaluating import decided
from negmine.sweep.sample import Sample

Call = Callable[..., Any]
EVALUATE = {"seeds": 2, "steps": 10, "checkpoints": 2, "batch_size": 16, "learning_rates": [0.003], "dev": 0.3}
FEW = 9


def experiment(config: Config) -> Experiment:
    return Experiment(Run(config, open_run(config)[1]))


def relabelled(folder: Path, *, shift: int) -> Config:
    """A run whose queries have two answers each that no other query has. Those of the test queries are moved on by
    ``shift`` places among them: other labels, the same groups."""
    random = np.random.default_rng(11)
    queries, passages = 160, 500
    centre = random.standard_normal((queries, 12))
    vectors = random.standard_normal((passages, 12))
    vectors[: 2 * queries] += 1.2 * np.repeat(centre, 2, axis=0)
    folder.mkdir()
    np.save(folder / "corpus.npy", vectors.astype(np.float32))
    np.save(folder / "queries.npy", (centre + 0.8 * random.standard_normal(centre.shape)).astype(np.float32))
    _jsonl(folder / "corpus.jsonl", [{"_id": f"d{i}", "text": f"text {i} of {i * 7}"} for i in range(passages)])

    def write(answers: np.ndarray) -> Config:
        rows = [{"query_id": f"q{i}", "anchor": f"ask {i}", "positive_id": [f"d{2 * a}", f"d{2 * a + 1}"]}
                for i, a in enumerate(answers)]  # fmt: skip
        _jsonl(folder / "pairs.jsonl", rows)
        config = negmine.config_from_dict(
            {
                "work_dir": f"work-{len(list(folder.iterdir()))}",
                "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
                "embed": {"vectors": {"corpus": "corpus.npy", "queries": "queries.npy"}},
                "mine": {"k": 30},
                "filter": {"num_negatives": 3},
                "threads": 1,
                "evaluate": EVALUATE,
            },
            folder,
        )
        negmine.run(config, until="filter")
        return config

    own = np.arange(queries)
    config = write(own)
    tested = np.flatnonzero(experiment(config).material.sides == TEST)
    if not shift:
        return config
    own[tested] = np.roll(own[tested], shift)
    return write(own)


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.mark.slow
def test_labels_of_test_queries_do_not_influence_the_choice(tmp_path: Path) -> None:
    """With quite other answers of the test queries, every trial and the choice are the same; were limits calibrated
    on all queries, they would not be."""
    truth, wrong = relabelled(tmp_path / "truth", shift=0), relabelled(tmp_path / "wrong", shift=5)
    for a, b in [(experiment(truth), experiment(wrong))]:
        assert (a.material.sides == b.material.sides).all()
        negatives = [Trials(each).negatives(Candidate(DEFAULT, {}, each.run.config)) for each in (a, b)]
        assert all(np.array_equal(*of) for of in zip(*negatives, strict=True))
        every = [decided(Sample(each.run), each.run.config) for each in (a, b)]
        assert every[0].found.risk_limit != every[1].found.risk_limit
    found = [tune(config, trials=14) for config in (truth, wrong)]
    assert _choice(found[0]) == _choice(found[1])


def _choice(found: Tuning) -> Any:
    """Everything but times, and but the confirmation, which is about test."""
    kept = found.as_json()
    del kept["seconds"], kept["confirmation"]
    return json.loads(json.dumps(kept))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose answers stand there several times, with a filter that lets them in; its folder."""
    folder = tmp_path_factory.mktemp("planted")
    make_run(folder, filter={"num_negatives": 3, "risk": None}, evaluate=EVALUATE)
    (folder / "negmine.yaml").write_text(
        "# planted\n"
        "work_dir: work\n"
        "data: {pairs: pairs.jsonl, corpus: corpus.jsonl}\n"
        "embed: {vectors: {corpus: corpus.npy, queries: queries.npy}}\n"
        "mine: {k: 30}\n"
        "threads: 1\n"
        "filter:\n"
        "  num_negatives: 3   # three\n"
        "  risk: null\n"
        f"evaluate: {json.dumps(EVALUATE)}\n"
    )
    return folder


@pytest.fixture
def poisoned(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    shutil.copytree(planted, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def honest_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """A student whose worth is the share of its negatives that are no answer, and luck of each query and seed."""

    def trained(self: Experiment, negatives: np.ndarray, seed: int, side: int, advance: Any) -> Outcome:
        asked = np.repeat(self.material.train[0][:, None], negatives.shape[1], axis=1)
        false = (negatives // COPIES == asked % TOPICS)[negatives >= 0]
        queries = len(self.material.chosen(side))
        luck = np.random.default_rng([side, 1]).standard_normal(queries) * 0.1
        luck += np.random.default_rng([side, seed, len(false)]).standard_normal(queries) * 0.05
        worth = 0.5 - 0.2 * (false.mean() if len(false) else 0.3)
        return Outcome(np.repeat((worth + luck)[:, None], 3, axis=1), 1, 0.1, worth, ())

    monkeypatch.setattr(Experiment, "_trained", trained)


@pytest.mark.usefixtures("honest_student")
def test_a_guard_is_chosen_where_there_is_poison(poisoned: Path, call: Call) -> None:
    """With copies of the answers among the candidates a setting that keeps them out wins, is confirmed on test, and
    is written into a config that runs."""
    done = call("tune", "--trials", "16", "--plot", "frontier.png", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["chosen"]["gain"] > 0
    assert found["chosen"]["p"] < 0.05
    assert found["chosen"]["difficulty"]["risk"] < found["default"]["difficulty"]["risk"]
    assert found["confirmation"]["difference"]["effect"] > 0
    assert Path("frontier.png").stat().st_size > 10_000
    path = Path(found["config"])
    assert path == Path("negmine-tuned.yaml")
    text = path.read_text()
    assert text.startswith("# Written by negmine tune: ")
    assert "# planted" in text
    config = load_config(path)
    assert config.filter != load_config("negmine.yaml").filter
    assert config.work_dir == load_config("negmine.yaml").work_dir
    assert call("run", "-c", str(path), "-q").code == 0
    again = call("tune", "--trials", "16")
    assert "Chosen: " in again.out
    assert "On test, which nothing was chosen by" in again.out
    assert f"negmine run -c {path}" in again.out


@pytest.mark.slow
@pytest.mark.usefixtures("honest_student")
def test_a_config_that_is_best_already_is_kept(poisoned: Path, call: Call) -> None:
    """Run with the tuned config, a second tuning finds nothing better, and takes away what the first one wrote."""
    assert call("tune", "--trials", "16", "-q").code == 0
    tuned = Path("negmine-tuned.yaml")
    Path("negmine.yaml").write_text(tuned.read_text())
    assert call("run", "-q").code == 0
    done = call("tune", "--trials", "16")
    assert done.code == 0, done.err
    assert "it is kept" in done.out
    assert not tuned.exists()


@pytest.mark.slow
def test_where_nothing_is_better_the_config_is_kept(poisoned: Path, call: Call) -> None:
    """A student that learns nothing shows no difference: said plainly, and no config is written."""
    done = call("tune", "--trials", "6", "--set", "evaluate.learning_rates=[0.000000001]", "--set", "evaluate.steps=2")
    assert done.code == 0, done.err
    assert "it is kept" in done.out
    assert not Path("negmine-tuned.yaml").exists()
    found = json.loads((poisoned / "work" / "tune" / "result.json").read_text())
    assert found["chosen"] is None
    assert found["confirmation"] is None


@pytest.mark.slow
def test_an_interrupted_tuning_goes_on(poisoned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried is not tried again, and the end is that of a tuning that was not stopped."""
    config = load_config("negmine.yaml")
    whole = tune(load_config("negmine.yaml", [f"work_dir={_copied(poisoned)}"]), trials=FEW)
    trained: list[int] = []
    real = Experiment._trained

    def stopping(self: Experiment, *words: Any) -> Any:
        trained.append(1)
        if len(trained) == 5:
            raise KeyboardInterrupt
        return real(self, *words)

    monkeypatch.setattr(Experiment, "_trained", stopping)
    with pytest.raises(KeyboardInterrupt):
        tune(config, trials=FEW)
    found = tune(config, trials=FEW)
    assert _choice(found) == _choice(whole)
    before = len(trained)
    assert _choice(tune(config, trials=FEW)) == _choice(whole)
    assert len(trained) == before


def _copied(project: Path) -> Path:
    shutil.copytree(project / "work", project / "other")
    return project / "other"


@pytest.mark.usefixtures("honest_student")
def test_seconds_that_were_spent_count_again(poisoned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call within a budget reads what the first one did, and does no more than it would have."""
    clock = itertools.count()
    monkeypatch.setattr(trials_module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    config = load_config("negmine.yaml")
    first = tune(config, budget=25)  # a trial takes a second of this clock, and the end seven
    assert first.trials - 2 * first.default.seeds <= 25 - 7
    assert len(first.tried) >= 8
    monkeypatch.setattr(trials_module, "time", SimpleNamespace(monotonic=lambda: 0.0))
    assert tune(config, budget=25).as_json() == first.as_json()


@pytest.mark.slow
def test_figures_of_a_setting_are_those_of_its_negatives(poisoned: Path) -> None:
    """Difficulty and gains are what can be counted by hand; test queries have no negatives."""
    config = load_config("negmine.yaml")
    of = experiment(config)
    trials = Trials(of)
    own = Candidate(DEFAULT, {}, config)
    query, _ = trials.negatives(own)
    train = np.flatnonzero(of.material.sides == TRAIN)
    assert set(query) <= set(train)
    hard = trials.difficulty(own)
    assert hard.negatives == pytest.approx(len(query) / len(train))
    verdicts = negmine.read_negatives(config)
    rows = np.isin(verdicts["query"].to_numpy(), train)
    margin = verdicts["reference"].to_numpy() - verdicts["score"].to_numpy()
    assert hard.margin == pytest.approx(margin[rows].mean())
    found = tune(config, trials=FEW)
    assert found.default.gain == 0
    assert found.default.uplift == pytest.approx(found.default.dev - found.in_batch)
    assert sum(each.seeds for each in found.tried) + found.default.seeds * 2 == found.trials


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "soon"), "this is no time"),
        (("--budget", "0m"), "this is no time"),
        (("--budget", "1m", "--trials", "5"), "Give one of them"),
        (("--trials", "5", "--plot", "figure.txt"), "ends with .png or .svg"),
        (("--budget", "0.001s"), "the budget ended before one setting was tried"),
    ],
)
def test_wrong_words_are_told(poisoned: Path, call: Call, words: tuple[str, ...], said: str) -> None:
    """What cannot be is an error of one line with exit code 2."""
    done = call("tune", *words)
    assert done.code == 2
    assert said in done.err


def test_a_file_in_the_way_is_told_before_long_work(poisoned: Path, call: Call) -> None:
    """A config of one's own by the name of the tuned one is left alone."""
    Path("negmine-tuned.yaml").write_text("mine")
    done = call("tune", "--trials", "4")
    assert done.code == 2
    assert "in the way" in done.err
    assert Path("negmine-tuned.yaml").read_text() == "mine"
