"""Mining again and again: with a better model, with better settings, in rounds of both."""

from negmine.rounds.looping import Looped, Round, loop
from negmine.rounds.negatives import Became, Look
from negmine.rounds.refreshing import Refreshed, refresh
from negmine.rounds.sibling import Sibling, sibling_of, write_config
from negmine.rounds.tuning import Tuning, tune

__all__ = [
    "Became",
    "Look",
    "Looped",
    "Refreshed",
    "Round",
    "Sibling",
    "Tuning",
    "loop",
    "refresh",
    "sibling_of",
    "tune",
    "write_config",
]
