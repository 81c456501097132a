"""Finished runs side by side."""

from negmine.comparing.comparison import MOST, Churn, Comparison, RunSummary, Shift, compare
from negmine.comparing.lists import ListedNegative, QueryChange
from negmine.comparing.reading import worded
from negmine.comparing.settings import SettingChange

__all__ = [
    "MOST",
    "Churn",
    "Comparison",
    "ListedNegative",
    "QueryChange",
    "RunSummary",
    "SettingChange",
    "Shift",
    "compare",
    "worded",
]
