"""The pieces that a judge is made of: rounds, prompts, answers, what counts more than what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_run import Data

import negmine
from negmine.labelling.labels import Label, append_labels
from negmine.scoring.judge_answers import judgements, read_answer
from negmine.scoring.judge_prompts import Prompts, shipped_prompt
from negmine.selection.judging import Walk, walk
from negmine.stages.judge.judges import Judges, Said

VERDICTS = st.lists(st.sampled_from([True, False, None]), max_size=25)


@given(VERDICTS, st.integers(0, 6), st.integers(0, 3), st.integers(0, 8))
def test_a_walk_takes_the_first_that_are_not_relevant(said: list[Any], kept: int, drawn: int, most: int) -> None:
    """Against plain loops: as many as were kept, in order, none that is relevant or that nobody could judge."""
    rows = list(range(len(said)))
    first, rest = rows[:kept], rows[kept:]
    random, further = rest[:drawn], rest[drawn:]
    found = walk(first, random, further, lambda row: said[row], most)
    assert found.asked == ()
    assert list(found.seen) == rows[: len(found.seen)]
    assert found.relevant == sum(said[row] is True for row in found.seen)
    assert found.held_out == (found.relevant > most)
    if found.held_out:
        assert found.taken == ()
        return
    staying = [row for row in first if said[row] is not True]
    new = [row for row in further if said[row] is False][: len(first) - len(staying)]
    assert sorted(found.taken) == sorted([*staying, *(row for row in random if said[row] is not True), *new])
    if len(staying) == len(first):
        assert len(found.seen) == len(first) + len(random)


@given(VERDICTS, st.integers(0, 6), st.integers(0, 8), st.integers(0, 25))
def test_a_walk_asks_in_rounds_and_ends_the_same_whatever_was_known(
    said: list[Any], kept: int, most: int, known_before: int
) -> None:
    rows = list(range(len(said)))
    known: dict[int, Any] = {row: said[row] for row in rows[::2][:known_before]}

    def walked() -> Walk:
        return walk(rows[:kept], [], rows[kept:], lambda row: known.get(row, "unknown"), most)

    rounds = 0
    while (found := walked()).asked:
        assert not set(found.asked) & set(known)
        known.update({row: said[row] for row in found.asked})
        rounds += 1
        assert rounds <= len(rows)
    assert found == walk(rows[:kept], [], rows[kept:], lambda row: said[row], most)


def test_what_people_have_not_judged_yet_keeps_a_place_free() -> None:
    """Nobody is to judge more than could be needed."""
    said: list[Any] = [True, "open", True, False, "open", "open", "open"]
    found = walk([0, 1, 2], [], [3, 4, 5, 6], lambda row: said[row], 7)
    assert (found.asked, found.seen, found.taken) == ((), (0, 1, 2, 3, 4), (1, 3))


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.randoms())
def test_judgements_are_read_in_any_order_and_refused_when_one_is_wrong(said: list[bool], draw: Any) -> None:
    rows = [{"passage": number, "relevant": relevant} for number, relevant in enumerate(said, 1)]
    draw.shuffle(rows)
    text = json.dumps({"judgements": rows})
    assert judgements(text, len(said)) == tuple(said)
    assert judgements(f"```json\n{text}\n```", len(said)) == tuple(said)
    assert judgements(f"I think {{so}}.</think> {text} Done.", len(said)) == tuple(said)
    assert judgements(text[:-1], len(said)) is None
    assert judgements(text, len(said) + 1) is None
    assert judgements(json.dumps({"judgements": [*rows, rows[0]]}), len(said)) is None
    assert judgements(text.replace('"passage": 1', '"passage": true'), len(said)) is None


@pytest.mark.parametrize(
    "answer", [None, [], 3, {}, {"choices": 1}, {"choices": [None]}, {"choices": [{"message": 1}]}]
)
def test_what_is_no_chat_completion_is_of_no_use(answer: Any) -> None:
    read = read_answer(answer, 2)
    assert (read.relevant, read.refused, read.prompt_tokens) == (None, False, None)


def test_a_content_in_parts_is_one_text() -> None:
    text = json.dumps({"judgements": [{"passage": 1, "relevant": True}]})
    parts = [{"type": "text", "text": text[:9]}, {"type": "text", "text": text[9:]}]
    assert read_answer({"choices": [{"message": {"content": parts}}]}, 1).relevant == (True,)


def test_prompts_show_the_texts_and_braces_in_texts_are_texts() -> None:
    prompts = Prompts(shipped_prompt("system"), shipped_prompt("user"))
    system, user = prompts.messages("what {query}?", ["an {answer}"], ["one", "two {passages}"])
    assert '{"judgements": [{"passage": 1, "relevant": true}' in system["content"]
    assert "<query>\nwhat {query}?\n</query>" in user["content"]
    assert '<passage number="2">\ntwo {passages}\n</passage>' in user["content"]
    assert "<answer>\nan {answer}\n</answer>" in user["content"]
    assert Prompts("a", "b").digest != Prompts("ab", "").digest


def _judges(data: Data, root: Path, **judge: Any) -> Judges:
    return Judges(data.config(judge), root)


def test_a_person_beats_every_model_and_unsure_leaves_it_to_them(data: Data, tmp_path: Path) -> None:
    pairs = [f"{'0' * 32}-{number:032x}" for number in range(6)]
    with _judges(data, tmp_path, strong={}) as judges:
        first, second = judges._ids
        for pair, answers in {
            pairs[0]: {first: True, second: False},
            pairs[1]: {first: True, second: "no_answer"},
            pairs[2]: {first: "refused"},
            pairs[3]: {first: True},
            pairs[4]: {first: False, second: True},
        }.items():
            for judge, said in answers.items():
                judges.log.add(judge, "m", *pair.split("-")[:1], {pair.split("-")[1]: said})  # type: ignore[arg-type]
    with _judges(data, tmp_path, strong={}) as judges:
        assert judges.known(pairs[0]) == Said(False, "not_relevant", "strong", True)
        assert judges.known(pairs[1]) == Said(True, "relevant", "cheap", True)
        assert judges.known(pairs[2]) == Said(None, "refused", None, None)
        assert judges.known(pairs[3]) == 1
        assert judges.known(pairs[4]) == Said(False, "not_relevant", "cheap", False)
        assert judges.known(pairs[5]) == 0
    append_labels(tmp_path / "judgements.jsonl", [(pairs[0], Label(True, "person")), (pairs[5], Label(None, "person"))])
    with _judges(data, tmp_path, strong={}) as judges:
        assert judges.known(pairs[0]) == Said(True, "relevant", "person", None)
        assert judges.known(pairs[5]) == 0
    with Judges(data.config({"endpoint": None}), tmp_path) as judges:
        assert judges.known(pairs[5]) == Said(None, "no_answer"), "a person was unsure"
        assert judges.known(pairs[1]) == Said(None)


def test_the_order_of_passages_is_drawn_by_the_seed_and_is_not_that_of_the_ranks(data: Data) -> None:
    def orders(seed: int) -> dict[str, str]:
        data.server.requests.clear()
        mapping = data.mapping({"endpoint": {"concurrency": 1, "revision": f"{seed}"}})
        negmine.run(negmine.config_from_dict({**mapping, "seed": seed}, data.folder), until="judge")
        contents = [request["messages"][-1]["content"] for request in data.server.requests]
        return {content.partition("</query>")[0]: content for content in reversed(contents)}

    one, other = orders(1), orders(2)
    assert one.keys() == other.keys()
    assert sum(one[query] != other[query] for query in one) > len(one) / 2
