"""Mining again and again: with a better model, with better settings, in rounds of both."""

from negmine.rounds.negatives import Became, Look
from negmine.rounds.refreshing import Refreshed, refresh
from negmine.rounds.sibling import Sibling, sibling_of, write_config

__all__ = ["Became", "Look", "Refreshed", "Sibling", "refresh", "sibling_of", "write_config"]
