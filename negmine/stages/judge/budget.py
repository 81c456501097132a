"""What judging may take: never more, and nothing that fits is left unasked."""

from __future__ import annotations

from dataclasses import dataclass

from negmine.config.judging import JudgeBudgetConfig, JudgeEndpointConfig
from negmine.errors import ConfigError
from negmine.labelling.answers import AnswerLog

_NOUNS = {"requests": " requests", "tokens": " tokens", "cost": ""}


class BudgetError(ConfigError):
    """The budget does not suffice for the next question."""


@dataclass(frozen=True)
class Most:
    """What one request can take at most."""

    tokens: int
    cost: float


class Budget:
    """Sets the most that a request can take aside before it is sent, and gives back what it did not take.

    So whatever is in flight when the budget is reached, it holds. ``log`` knows what was taken.
    """

    def __init__(self, limits: JudgeBudgetConfig | None, log: AnswerLog) -> None:
        self._limits = limits or JudgeBudgetConfig.model_construct()
        self._log = log
        self._requests = self._tokens = 0
        self._cost = 0.0

    def take(self, most: Most) -> bool:
        """Set a request aside, if it fits."""
        if self._lack(most) is not None:
            return False
        self._requests += 1
        self._tokens += most.tokens
        self._cost += most.cost
        return True

    def give_back(self, most: Most) -> None:
        """A request has ended: what it took is in the log."""
        self._requests -= 1
        self._tokens -= most.tokens
        self._cost = self._cost - most.cost if self._requests else 0.0

    def error(self, most: Most, open_questions: int) -> BudgetError:
        """Why the next request, which does not fit, is not sent."""
        key, taken, limit, needed = self._lack(most) or ("requests", "", "", "")
        enough = f", and the next question may take {needed}" if needed else ""
        asked = f"{open_questions:,} question{'s' if open_questions != 1 else ''}"
        return BudgetError(
            f"the budget is spent: {taken} of {limit}{_NOUNS[key]}{enough}; at least {asked} left",
            where=f"judge.budget.{key}",
            hint="Raise it and run the same command again. What was judged is kept.",
        )

    def _lack(self, most: Most) -> tuple[str, str, str, str] | None:
        """Which limit a request does not fit into: its key, what was taken, the limit, what the request may take."""
        spent, limits = self._log.spent, self._limits
        if limits.requests is not None and spent.requests + self._requests >= limits.requests:
            return "requests", f"{spent.requests:,}", f"{limits.requests:,}", ""
        if limits.tokens is not None and spent.tokens + self._tokens + most.tokens > limits.tokens:
            return "tokens", f"{spent.tokens:,}", f"{limits.tokens:,}", f"{most.tokens:,}"
        if limits.cost is not None and spent.cost + self._cost + most.cost > limits.cost * (1 + 1e-12):
            return "cost", f"{spent.cost:.4g}", f"{limits.cost:g}", f"{most.cost:.2g}"
        return None


def money(judge: JudgeEndpointConfig, prompt_tokens: int, completion_tokens: int) -> float | None:
    """What tokens cost; None without prices."""
    if judge.prices is None:
        return None
    asked, answered = judge.prices
    return (asked * prompt_tokens + answered * completion_tokens) / 1e6
