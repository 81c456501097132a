"""Everybody who judges: people, whose word counts most, and one or two language models, the second of which confirms.

What was answered is in the log before anything else happens with it, so a kill, an error or the end of the budget
costs no answer.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from negmine.config import Config
from negmine.config.judging import JudgeEndpointConfig
from negmine.errors import InputError
from negmine.labelling.answers import ANSWERS, NO_ANSWER, REFUSED, AnswerLog, Judgement
from negmine.labelling.labels import Label, read_labels
from negmine.scoring.chat import Chat, Messages, estimated_tokens
from negmine.scoring.judge_answers import Answer, is_refusal, read_answer
from negmine.stages.judge.budget import Budget, Most, money
from negmine.stages.judge.setup import JUDGEMENTS, NAMES, judge_id, judge_section, open_chat, prompts_of
from negmine.web.answers import RefusedError

_HOPELESS = 20
"""So many answers of no use, and none of any, end a run: the judge does not understand what it is asked."""
_AHEAD = 2
"""Requests that are made ready, in those that run at a time."""
_WORDS: dict[Judgement, str] = {True: "relevant", False: "not_relevant", NO_ANSWER: NO_ANSWER, REFUSED: REFUSED}


@dataclass(frozen=True)
class Said:
    """What is known of a pair: ``relevant``, None when nobody could say. ``judgement`` in words, ``by`` whom;
    ``flagged`` is what the first language model said, None where it did not."""

    relevant: bool | None
    judgement: str | None = None
    by: str | None = None
    flagged: bool | None = None


@dataclass(frozen=True)
class Question:
    """Passages of one query that are to be judged, each with the digest of its text."""

    query_digest: str
    query: str
    positives: tuple[str, ...]
    passages: tuple[tuple[str, str], ...]

    def pairs(self) -> list[str]:
        """The names of its pairs of texts."""
        return [f"{self.query_digest}-{digest}" for digest, _ in self.passages]

    def about(self, passages: Iterable[tuple[str, str]]) -> Question:
        """The same about other passages."""
        return replace(self, passages=tuple(passages))


@dataclass(eq=False)
class _Request:
    """A question on its way; ``body`` is what was sent."""

    question: Question
    attempt: int = 1
    messages: Messages = field(default_factory=list)
    most: Most = field(default_factory=lambda: Most(0, 0.0))
    body: dict[str, Any] = field(default_factory=dict)


class _Everything:
    """Contains whatever it is asked about."""

    def __contains__(self, pair: object) -> bool:
        return True


class Judges:
    """The judges of a config, and what they said about this run's texts. Use it in a ``with`` statement.

    Raises ConfigError and InputError for prompts and files that cannot be read.
    """

    def __init__(self, config: Config, root: Path, *, people: bool = True) -> None:
        """``root``: the folder of the run. Without ``people`` only the language models count."""
        self._section = judge_section(config)
        self._seed = config.seed
        self.prompts = prompts_of(config)
        self.models: tuple[JudgeEndpointConfig, ...] = self._section.judges
        self._ids = [judge_id(model, self.prompts) for model in self.models]
        self.log = AnswerLog(root / ANSWERS)
        self.people: dict[str, Label] = read_labels(root / JUDGEMENTS, _Everything()) if people else {}
        self._budget = Budget(self._section.budget, self.log)
        self._chats: dict[int, Chat] = {}
        self._useless = 0
        self._useful = False

    def __enter__(self) -> Judges:
        return self

    def __exit__(self, *error: object) -> None:
        self.log.__exit__(None, None, None)
        for chat in self._chats.values():
            chat.close()

    def known(self, pair: str) -> Said | int:
        """What is known of a pair, or the number of the language model that has to be asked."""
        label = self.people.get(pair)
        if label is not None and label.relevant is not None:
            return Said(label.relevant, _WORDS[label.relevant], label.source)
        # A person who is unsure leaves it to the models, if there are any.
        found, flagged = Said(None) if label is None else Said(None, NO_ANSWER), None
        for number, model in enumerate(self.models):
            said = self.log.get(self._ids[number], pair)
            if said is None:
                return number
            sure = isinstance(said, bool)
            flagged = bool(said) if sure and number == 0 else flagged
            if sure or number == 0:  # where the second cannot say, the first one's word stands
                found = Said(bool(said) if sure else None, _WORDS[said], model.model if sure else None, flagged)
            if said is not True:
                break
        return replace(found, flagged=flagged)

    def settle(self, questions: Sequence[Question], progress: Callable[[], None] = lambda: None) -> None:
        """Ask until something is known of every pair. ``progress`` is told of every answer.

        Raises BudgetError when the budget does not suffice; ConfigError, InputError when the server refuses or fails.
        """
        for number in range(len(self.models)):
            requests = deque(_Request(part) for question in questions for part in self.left(question, number))
            if requests:
                self._ask(number, requests, progress)

    def requests(self, questions: Sequence[Question]) -> int:
        """How many requests will be sent at first."""
        models = range(len(self.models))
        return sum(1 for question in questions for number in models for _ in self.left(question, number))

    def left(self, question: Question, number: int) -> Iterable[Question]:
        """Those passages of a question that a language model is to be asked about, as it is asked: in an order drawn
        by the seed, ``judge.batch_passages`` at a time."""
        rows = zip(question.passages, question.pairs(), strict=True)
        left = [passage for passage, pair in rows if self.known(pair) == number]
        ordered = self._shuffled(question.query_digest, left, 1)
        size = self._section.batch_passages
        for low in range(0, len(ordered), size):
            yield question.about(ordered[low : low + size])

    def messages(self, question: Question) -> Messages:
        """What is said to a language model."""
        return self.prompts.messages(question.query, question.positives, [text for _, text in question.passages])

    def _shuffled(self, query: str, passages: Sequence[tuple[str, str]], attempt: int) -> list[tuple[str, str]]:
        def key(passage: tuple[str, str]) -> bytes:
            return blake2b(f"{self._seed}:{attempt}:{query}:{passage[0]}".encode(), digest_size=8).digest()

        return sorted(passages, key=key)

    def _chat(self, number: int) -> Chat:
        if number not in self._chats:
            section = f"judge.{NAMES[number]}"
            self._chats[number] = open_chat(self.models[number], section, self._section.response_format)
        return self._chats[number]

    def _ask(self, number: int, waiting: deque[_Request], progress: Callable[[], None]) -> None:
        chat, model = self._chat(number), self.models[number]
        ready: deque[_Request] = deque()

        def body(request: _Request) -> dict[str, Any]:
            request.body = chat.body(request.messages)
            return request.body

        def prepare() -> None:
            while waiting and len(ready) < _AHEAD * model.concurrency:
                request = waiting[0]
                if not request.messages:
                    request.messages = self.messages(request.question)
                    tokens = chat.most_tokens(request.messages)
                    request.most = Most(sum(tokens), money(model, *tokens) or 0.0)
                if not self._budget.take(request.most):
                    return
                ready.append(waiting.popleft())

        prepare()
        with contextlib.closing(chat.each(ready, body)) as done:
            for request, answer in done:
                self._budget.give_back(request.most)
                if isinstance(answer, RefusedError):
                    self._refused(number, request, answer, waiting)
                else:
                    self._answered(number, request, answer, waiting)
                    progress()
                prepare()
        if waiting:
            raise self._budget.error(waiting[0].most, len(waiting))

    def _answered(self, number: int, request: _Request, answer: Any, waiting: deque[_Request]) -> None:
        read, question = read_answer(answer, len(request.question.passages)), request.question
        if read.relevant is not None:
            self._useful = True
            digests = [digest for digest, _ in question.passages]
            self._keep(number, request, read, dict(zip(digests, read.relevant, strict=True)))
            return
        again = not read.refused and request.attempt < self._section.attempts
        last = len(question.passages) == 1 and not again
        judgement: Judgement = REFUSED if read.refused else NO_ANSWER
        self._keep(number, request, read, {question.passages[0][0]: judgement} if last else {})
        self._check_hope(number, read)
        if again:
            shuffled = self._shuffled(question.query_digest, question.passages, request.attempt + 1)
            waiting.append(_Request(question.about(shuffled), request.attempt + 1))
        elif not last:
            waiting.extend(_halves(question))

    def _refused(self, number: int, request: _Request, refused: RefusedError, waiting: deque[_Request]) -> None:
        """A request that was not answered: sent otherwise, in halves, or given up."""
        chat, question = self._chat(number), request.question
        if chat.conceded(refused, request.body):
            waiting.appendleft(_Request(question, request.attempt))
        elif not (refused.too_long or is_refusal(refused.message)):
            raise chat.refusal(refused) from refused
        elif len(question.passages) > 1:
            waiting.extend(_halves(question))
        else:
            judgement: Judgement = REFUSED if is_refusal(refused.message) else NO_ANSWER
            judged = {question.passages[0][0]: judgement}
            self.log.add(self._ids[number], self.models[number].model, question.query_digest, judged, requests=0)

    def _keep(self, number: int, request: _Request, read: Answer, judgements: dict[str, Judgement]) -> None:
        model = self.models[number]
        prompt = read.prompt_tokens if read.prompt_tokens is not None else estimated_tokens(request.messages)
        completion = read.completion_tokens
        completion = completion if completion is not None else answer_tokens(len(request.question.passages))
        self.log.add(
            self._ids[number],
            model.model,
            request.question.query_digest,
            judgements,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=money(model, prompt, completion),
        )

    def _check_hope(self, number: int, read: Answer) -> None:
        """Raises InputError for a judge that never gave an answer of use."""
        self._useless += not read.refused
        if not self._useful and self._useless >= _HOPELESS:
            raise InputError(
                f"none of the first {self._useless} answers can be used, the last one: {read.why}",
                where=self._chat(number).where,
                hint=f"Is judge.{NAMES[number]}.model a chat model that can write JSON? Try judge.response_format, a"
                " higher max_tokens, or another prompt.",
            )


def answer_tokens(passages: int) -> int:
    """About how many tokens an answer has."""
    return 8 + 14 * passages


def _halves(question: Question) -> list[_Request]:
    middle = len(question.passages) // 2
    return [_Request(question.about(part)) for part in (question.passages[:middle], question.passages[middle:])]
