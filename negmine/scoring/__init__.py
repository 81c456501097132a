"""Models that score a query and a passage together."""
