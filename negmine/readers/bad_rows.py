"""What happens to rows that cannot be used."""

from __future__ import annotations

from negmine.errors import InputError, Where


class BadRows:
    """Raises for the first bad row (policy ``error``), or collects them (policy ``skip``)."""

    def __init__(self, policy: str = "error") -> None:
        self._policy = policy
        self.rejected: list[dict[str, str | int | None]] = []

    def reject(self, where: Where, reason: str) -> None:
        """A row cannot be used. Raises InputError unless bad rows are skipped."""
        if self._policy == "error":
            raise InputError(
                reason, where=where, hint="Fix the row, or set data.on_bad_row: skip to leave such rows out."
            )
        self.rejected.append({"file": where.file, "line": where.line or where.row, "reason": reason})

    def __len__(self) -> int:
        return len(self.rejected)
