"""Reads an export with the code of the tool it is for; runs inside the environment of consumers.

``python readers.py NAME FOLDER [MORE..]`` prints what the tool made of the files, as JSON on the last line.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PASSES = 12
"""How often readers that draw a passage at random are asked for every row."""


class Echo:
    """A tokenizer that hands texts through, so that what a reader would feed a model can be looked at."""

    def encode(self, text: str, **_: Any) -> str:
        return text


def beir(folder: Path, split: str = "train") -> Any:
    from beir.datasets.data_loader import GenericDataLoader

    corpus, queries, qrels = GenericDataLoader(str(folder)).load(split)
    return {"corpus": corpus, "queries": queries, "qrels": qrels}


def gpl(folder: Path) -> Any:
    """What GPL trains on: a triple drawn from every line; its module is loaded without the rest of the package."""
    found = importlib.util.find_spec("gpl")
    place = Path(found.submodule_search_locations[0]) / "toolkit" / "dataset.py"
    spec = importlib.util.spec_from_file_location("gpl_dataset", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = beir(folder)
    rows = module.HardNegativeDataset(str(folder / "hard-negatives.jsonl"), loaded["queries"], loaded["corpus"])
    drawn = [rows[number] for _ in range(PASSES) for number in range(len(rows))]
    return {"rows": len(rows), "drawn": [[*example.guid, *example.texts] for example in drawn]}


def bare(package: str) -> None:
    """Let modules of a package be imported without what its ``__init__`` imports: not all of it fits every version of
    transformers, and the readers need none of it."""
    module = ModuleType(package)
    module.__path__ = list(importlib.util.find_spec(package).submodule_search_locations)
    sys.modules[package] = module


def flagembedding(file: Path) -> Any:
    bare("FlagEmbedding")
    from FlagEmbedding.abc.finetune.embedder.AbsArguments import AbsEmbedderDataArguments
    from FlagEmbedding.abc.finetune.embedder.AbsDataset import (
        AbsEmbedderSameDatasetTrainDataset,
        AbsEmbedderTrainDataset,
    )
    from FlagEmbedding.abc.finetune.reranker.AbsArguments import AbsRerankerDataArguments
    from FlagEmbedding.abc.finetune.reranker.AbsDataset import AbsRerankerTrainDataset

    size = 6  # larger than most lists, so that the code that repeats negatives runs too
    settings = {"train_data": [str(file)], "train_group_size": size, "knowledge_distillation": True}
    rows = AbsEmbedderTrainDataset(AbsEmbedderDataArguments(**settings), tokenizer=None)
    arguments = AbsEmbedderDataArguments(
        **settings, query_instruction_for_retrieval="Instruct: ", small_threshold=0, drop_threshold=0
    )
    batches = AbsEmbedderSameDatasetTrainDataset(arguments, default_batch_size=4, seed=0, tokenizer=None)
    reranker = AbsRerankerTrainDataset(AbsRerankerDataArguments(**settings), tokenizer=None)
    reranker.create_one_example = lambda query, passage: (query, passage)
    return {
        "rows": [rows[number] for number in range(len(rows))],
        "batches": [batches[number][:3] for number in range(len(batches))],
        "reranker": [reranker[number] for number in range(len(reranker))],
    }


def tevatron(file: Path) -> Any:
    import datasets
    from tevatron.data import TrainDataset
    from tevatron.datasets import TrainPreProcessor

    read = datasets.load_dataset("json", data_files=str(file), split="train")
    texts = read.map(TrainPreProcessor(Echo()), remove_columns=read.column_names)
    arguments = SimpleNamespace(
        train_n_passages=6, positive_passage_no_shuffle=False, negative_passage_no_shuffle=False
    )
    trainer = SimpleNamespace(state=SimpleNamespace(epoch=0.0), args=SimpleNamespace(seed=1))
    drawing = TrainDataset(arguments, texts, None, trainer)
    drawing.create_one_example = lambda text, is_query=False: text
    return {"rows": texts.to_list(), "drawn": [drawing[number] for number in range(len(drawing))]}


def pylate(rows: Path, queries: Path, documents: Path) -> Any:
    import datasets

    processing = __import__("pylate.utils.processing", fromlist=["KDProcessing"])
    missing: list[str] = []
    processing.logger.warning = missing.append
    read = [datasets.load_dataset("json", data_files=str(path), split="train") for path in (rows, queries, documents)]
    processor = processing.KDProcessing(queries=read[1], documents=read[2])
    mapped = [processor.map(row) for row in read[0]]
    read[0].set_transform(processor.transform)
    lazily = [{name: row[name] for name in ("query", "documents", "scores")} for row in read[0]]
    return {"rows": mapped, "lazily": lazily, "missing": missing}


def trec(run: Path, qrels: Path) -> Any:
    """The run as two tools read it, and a measure of it."""
    import ir_measures
    import pytrec_eval

    with run.open(encoding="utf-8") as file:
        scores = pytrec_eval.parse_run(file)
    read = list(ir_measures.read_trec_run(str(run)))
    labels = list(ir_measures.read_trec_qrels(str(qrels)))
    measured = ir_measures.calc_aggregate([ir_measures.R @ 100, ir_measures.nDCG @ 10], labels, read)
    return {
        "pytrec_eval": scores,
        "ir_measures": [[row.query_id, row.doc_id, row.score] for row in read],
        "measures": {str(measure): value for measure, value in measured.items()},
    }


def nemo(file: Path) -> Any:
    from nemo_automodel.components.datasets.llm.retrieval_dataset import make_retrieval_dataset

    rows = make_retrieval_dataset(str(file), n_passages=5)
    pairs = make_retrieval_dataset(str(file), model_type="cross_encoder", n_passages=5)
    return {
        "rows": [{name: row[name] for name in ("question", "doc_text", "doc_id")} for row in rows],
        "cross_encoder": len(list(pairs)),
    }


def swift(file: Path, model: Path) -> Any:
    """Rows after loading, and as the templates for embedding models and rerankers encode them for training."""
    from swift.dataset import load_dataset
    from swift.template import TemplateInputs

    rows, _ = load_dataset([str(file)], strict=True)
    shown = []
    for row in rows:
        inputs = TemplateInputs.from_dict({name: value for name, value in row.items() if value is not None})
        shown.append(
            {
                "chosen": inputs.chosen.messages,
                "positive": [one.messages for one in inputs.positive],
                "negative": [one.messages for one in inputs.negative],
            }
        )
    return {"rows": shown, **{task: _encoded(rows, model, task) for task in ("embedding", "reranker")}}


def _encoded(rows: Any, model: Path, task: str) -> Any:
    from swift.template import get_template
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model))
    tokenizer.model_info = SimpleNamespace(max_model_len=1 << 20, config=None, task_type=task)
    tokenizer.model_meta = SimpleNamespace(template="dummy", model_type="bert", is_multimodal=False, is_reward=False)
    template = get_template(tokenizer, template_type="dummy")
    template.task_type = task
    template.set_mode("train")
    found = [template.encode({name: value for name, value in row.items() if value is not None}) for row in rows]
    return [{name: value for name, value in one.items() if name == "labels" or "input_ids" in name} for one in found]


READERS = {reader.__name__: reader for reader in (beir, gpl, flagembedding, tevatron, pylate, trec, nemo, swift)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    paths = [Path(argument) if "/" in argument else argument for argument in sys.argv[2:]]
    found = READERS[sys.argv[1]](*paths)
    sys.stdout.flush()
    sys.stdout.write("\n" + json.dumps(found) + "\n")
