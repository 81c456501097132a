"""Students that read texts: static embeddings, and a whole model by Sentence Transformers' trainer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
from tiny_models import TEXTS, save_bert, save_static

from negmine.encoders.loading import Settings, load_model
from negmine.errors import ConfigError, MissingDependencyError
from negmine.training.base import Plan, Rows
from negmine.training.full import Embedding, Full, Reading, check_arguments, masked_loss
from negmine.training.static import Static, Tokens, token_vectors, tokenizer_of

QUERIES = ["refund time", "dock slot", "password rule", "guest wifi"]
ROWS = Rows(
    query=np.arange(4),
    positive=np.array([1, 6, 4, 5]),
    negatives=np.array([[3, -1], [0, 2], [-1, -1], [4, -1]]),
    known_query=np.arange(4),
    known_passage=np.array([1, 6, 4, 5]),
    passages=len(TEXTS),
)


def last(curve: list[float]) -> Any:
    """Dev likes every checkpoint better than the one before."""
    return lambda model: curve.append(0.0) or float(len(curve))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_model(save_bert(tmp_path_factory.mktemp("bert") / "model"), Settings(device="cpu"))


def static(model: Any) -> Static:
    reader = tokenizer_of(model)
    tokens = [Tokens.of(iter([texts]), reader) for texts in (QUERIES, TEXTS)]
    return Static(tokens[0], tokens[1], lambda ids, counts: token_vectors(model, ids, counts), "w")


def test_a_static_student_embeds_as_the_static_model_does(tmp_path: Path) -> None:
    """Before training its vectors are those of Sentence Transformers, also of texts asked for in another order."""
    model = load_model(save_static(tmp_path / "model"), Settings(device="cpu"))
    start = static(model).untrained()
    order = np.array([3, 0, 0, 6])
    expected = model.encode([TEXTS[n] for n in order], normalize_embeddings=True)
    assert start.passages(order) == pytest.approx(expected, abs=1e-6)
    assert start.queries(np.arange(4)) == pytest.approx(model.encode(QUERIES, normalize_embeddings=True), abs=1e-6)


def test_token_vectors_of_a_transformer_are_centred_and_weighted(bert: Any) -> None:
    """Rare tokens count more: a / (a + p) with a = 0.001."""
    ids, counts = np.array([7, 9, 11]), np.array([1, 2, 7])
    table = bert[0].auto_model.get_input_embeddings().weight.detach().numpy()[ids]
    expected = (table - table.mean(axis=0)) * (1e-3 / (1e-3 + counts / 10))[:, None]
    assert token_vectors(bert, ids, counts) == pytest.approx(expected, rel=1e-5)


def test_a_static_student_learns_and_is_the_same_again(tmp_path: Path) -> None:
    """Positives move above negatives; a second training from the same start ends with the same bytes."""
    student = static(load_model(save_static(tmp_path / "model"), Settings(device="cpu")))
    ends = []
    for _ in range(2):
        found = student.train(ROWS, Plan(30, 4, 0.05, 3, 1, 0.05), last([]), lambda steps: None)
        ends.append((found.model.queries(np.arange(4)), found.model.passages(np.arange(len(TEXTS)))))
        assert found.step == 30
    assert all(np.array_equal(a, b) for a, b in zip(*ends, strict=True))
    scores = ends[0][0] @ ends[0][1].T
    assert (scores[np.arange(4), ROWS.positive][:, None] >= scores[:, ROWS.positive] - 1e-6).all()


def full(bert: Any, arguments: dict[str, Any] | None = None) -> Full:
    import copy

    return Full(
        lambda: copy.deepcopy(bert),
        lambda numbers: [QUERIES[n] for n in numbers],
        lambda numbers: [TEXTS[n] for n in numbers],
        Reading(query_prompt="query: ", batch_size=4),
        arguments or {},
        "w",
        "cpu",
    )


def test_the_loss_of_the_trainer_is_that_of_the_other_students(bert: Any) -> None:
    """Rows that have fewer negatives are masked, wherever they stand in the batch."""
    import torch

    order = np.array([1, 3, 0])
    columns = [
        QUERIES,
        *([TEXTS[n] if n >= 0 else "" for n in column] for column in (ROWS.positive, *ROWS.negatives.T)),
    ]
    features = [bert.preprocess([column[row] for row in order]) for column in columns]
    bert.eval()
    loss = masked_loss(bert, ROWS, 0.05)(features, torch.from_numpy(order)).item()
    model = Embedding(bert, lambda n: [QUERIES[i] for i in n], lambda n: [TEXTS[i] for i in n], Reading(batch_size=4))
    total = 0.0
    for row in order:
        others = [int(ROWS.positive[other]) for other in order if other != row]
        passages = np.array([ROWS.positive[row], *others, *(n for n in ROWS.negatives[row] if n >= 0)])
        logits = (model.queries(np.array([row])) @ model.passages(passages).T)[0].astype(np.float64) / 0.05
        total += float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[0])
    assert loss == pytest.approx(total / 3, rel=1e-4)


@pytest.mark.slow
def test_a_whole_model_is_trained_by_its_trainer(bert: Any) -> None:
    """It starts from the same weights each time, looks at dev, hands back its best checkpoint."""
    student = full(bert, {"weight_decay": 0.01})
    start = student.untrained()
    before = start.passages(np.arange(3))
    told: list[int] = []
    for scores, step in (([9.0, 1.0, 2.0], 0), ([1.0, 3.0, 2.0], 2)):
        left = list(scores)
        found = student.train(ROWS, Plan(4, 4, 1e-2, 1, 2, 0.05), lambda model, of=left: of.pop(0), told.append)
        assert found.step == step
        assert np.allclose(found.model.passages(np.arange(3)), before, atol=1e-5) == (step == 0)
    assert sum(told) == 8


def test_arguments_of_the_trainer_are_checked() -> None:
    """One that there is none of is named with the nearest."""
    check_arguments({"bf16": True, "warmup_steps": 10})
    with pytest.raises(ConfigError, match=r"train\.arguments: .* has no 'warmup_step'. Did you mean 'warmup_steps'"):
        check_arguments({"warmup_step": 10})


def test_the_trainer_s_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs them, and exit code 8."""
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingDependencyError, match=r"accelerate.*negmine\[full\]") as caught:
        check_arguments({"bf16": True})
    assert caught.value.exit_code == 8
