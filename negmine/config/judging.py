"""Config of the language model that says of the hardest survivors whether they are relevant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from negmine.config.embedding import server_problems
from negmine.config.filtering import FilterConfig
from negmine.config.values import PathText, Problem, Section, Text


class JudgeEndpointConfig(Section):
    """A language model behind a server with OpenAI's `/v1/chat/completions`: vLLM, TGI, llama.cpp, hosted models."""

    example: ClassVar[str] = "{url: 'http://localhost:8000/v1', model: NAME}"

    url: Text = Field(
        description="Address of the server: `http://host:8000`, `https://host/v1` or the whole `.../chat/completions`."
    )
    model: Text = Field(description="Name of the model, as the server knows it.")
    revision: Text | None = Field(
        default=None,
        description="Any text of your own: another one judges anew, as when the server has other weights by the same"
        " name.",
    )
    api_key_env: Text | None = Field(
        default=None, description="Environment variable that holds the key, which is sent as bearer token."
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="How freely the model answers.")
    max_tokens: int = Field(
        default=1024, ge=16, description="Tokens of an answer at most; models that reason aloud need some thousands."
    )
    concurrency: int = Field(default=8, ge=1, le=1024, description="Requests at a time.")
    timeout: float = Field(default=120.0, gt=0, description="Seconds that a request may take.")
    retries: int = Field(
        default=8, ge=0, description="How often a request is sent again after 429, 5xx, a timeout or a lost connection."
    )
    price_per_million_prompt_tokens: float | None = Field(
        default=None, ge=0, description="What a million tokens of questions cost, in any currency."
    )
    price_per_million_completion_tokens: float | None = Field(
        default=None, ge=0, description="What a million tokens of answers cost, in the same currency."
    )

    @property
    def prices(self) -> tuple[float, float] | None:
        """Of a million tokens of questions and of answers; None when they are not known."""
        asked, answered = self.price_per_million_prompt_tokens, self.price_per_million_completion_tokens
        return None if asked is None or answered is None else (asked, answered)

    def same_as(self, other: JudgeEndpointConfig) -> bool:
        """Whether this is another name for the same judge."""
        keys = ("model", "revision", "temperature")
        return all(getattr(self, key) == getattr(other, key) for key in keys)

    def price_problems(self) -> Iterator[Problem]:
        """One price alone says nothing."""
        names = ("price_per_million_prompt_tokens", "price_per_million_completion_tokens")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) == 1:
            other = names[1 - names.index(given[0])]
            yield Problem((given[0],), f"needs {other} beside it", "Set both, or none.")

    def problems(self) -> Iterator[Problem]:
        yield from server_problems(self.url, self.api_key_env, "judge.endpoint")
        yield from self.price_problems()


class StrongJudgeConfig(JudgeEndpointConfig):
    """A second, stronger language model, which is asked about what the first took for relevant."""

    def problems(self) -> Iterator[Problem]:
        yield from server_problems(self.url, self.api_key_env, "judge.strong")
        yield from self.price_problems()


class JudgePromptsConfig(Section):
    """Your own words for the judge, instead of those that come with negmine."""

    example: ClassVar[str] = "{user: prompt.txt}"

    system: PathText | None = Field(default=None, description="File with the instructions; null for the shipped ones.")
    user: PathText | None = Field(
        default=None,
        description="File with the question, in which `{query}`, `{positives}` and `{passages}` stand for the texts;"
        " null for the shipped one.",
    )


class JudgeBudgetConfig(Section):
    """What may be spent on judging in a work_dir, ever; the first that is reached counts."""

    example: ClassVar[str] = "{requests: 1000}"

    requests: int | None = Field(default=None, ge=1, description="Requests that are answered.")
    tokens: int | None = Field(default=None, ge=1, description="Tokens of questions and answers.")
    cost: float | None = Field(default=None, gt=0, description="Money, by the prices of the endpoints.")

    def problems(self) -> Iterator[Problem]:
        if self.requests is None and self.tokens is None and self.cost is None:
            yield Problem(
                ("",),
                "none of requests, tokens and cost is set",
                "Set one of them, or write budget: null for no limit.",
            )


class JudgeConfig(Section):
    """Who says of the hardest survivors whether they are relevant: a language model, people, or both."""

    example: ClassVar[str] = "{endpoint: {url: 'http://localhost:8000/v1', model: NAME}}"

    endpoint: JudgeEndpointConfig | None = Field(
        default=None, description="The language model; null where people alone judge, by sheets."
    )
    strong: StrongJudgeConfig | None = Field(
        default=None,
        description="A second language model that confirms: it is asked about what the first takes for relevant, and"
        " has the last word.",
    )
    action: Literal["drop", "promote", "quarantine"] = Field(
        default="drop",
        description="What becomes of a candidate that is judged relevant: `drop` it and take the next survivor;"
        " `promote` also makes it a positive of its query in the training files; `quarantine` leaves its whole query"
        " out of them.",
    )
    depth: int = Field(
        default=20,
        ge=1,
        description="Candidates of a query that are judged at most: its negatives, then the survivors that may take"
        " the place of the dropped ones.",
    )
    max_relevant: int = Field(
        default=7,
        ge=0,
        description="A query with more relevant candidates than this is left out of the training files.",
    )
    batch_passages: int = Field(default=5, ge=1, le=100, description="Passages of one query in a request at most.")
    attempts: int = Field(
        default=3, ge=1, description="How often a question is asked when the answers to it are of no use."
    )
    response_format: Literal["auto", "schema", "text"] = Field(
        default="auto",
        description="How answers are kept in form: `schema` sends a JSON Schema along, `text` relies on the prompt,"
        " `auto` goes from the first to the second when the server refuses it.",
    )
    prompts: JudgePromptsConfig = Field(default_factory=JudgePromptsConfig, description="Your own words for the judge.")
    budget: JudgeBudgetConfig | None = Field(default=None, description="What may be spent; null for no limit.")

    @property
    def judges(self) -> tuple[JudgeEndpointConfig, ...]:
        """The language models, in the order in which they are asked."""
        return tuple(judge for judge in (self.endpoint, self.strong) if judge is not None)

    def problems(self) -> Iterator[Problem]:
        if self.endpoint is None:
            for key in ("strong", "budget"):
                if getattr(self, key) is not None:
                    yield Problem((key,), "needs judge.endpoint, which is not set", "Set it, or remove this.")
            for key in ("batch_passages", "attempts", "response_format", "prompts"):
                if getattr(self, key) != JudgeConfig.model_fields[key].get_default(call_default_factory=True):
                    yield Problem((key,), "applies only to judge.endpoint, which is not set", "Remove it.")
        if self.endpoint is not None and self.strong is not None and self.strong.same_as(self.endpoint):
            yield Problem(
                ("strong.model",), "this is the model of judge.endpoint, which cannot confirm itself", "Name another."
            )
        if self.budget is not None and self.budget.cost is not None:
            for name in ("endpoint", "strong"):
                judge: JudgeEndpointConfig | None = getattr(self, name)
                if judge is not None and judge.prices is None:
                    yield Problem(
                        ("budget.cost", f"{name}.model"),
                        f"the prices of judge.{name} are not set",
                        "Set its price_per_million_prompt_tokens and price_per_million_completion_tokens.",
                    )


def judge_problems(judge: JudgeConfig | None, section: FilterConfig) -> Iterator[Problem]:
    """The rules between the judge and the filter."""
    if judge is None:
        return
    if judge.depth < section.num_negatives:
        yield Problem(
            ("judge.depth", "filter.num_negatives"),
            f"{judge.depth} is below filter.num_negatives, {section.num_negatives}, and every negative is judged",
            f"Set it to {section.num_negatives} or more.",
        )
    if section.on_shortage in ("random", "error"):
        why = (
            "random passages cannot take the place of what the judge drops"
            if section.on_shortage == "random"
            else "the judge drops negatives, and not every query has others"
        )
        yield Problem(("filter.on_shortage", "judge"), why, "Set it to fewer or drop.")
