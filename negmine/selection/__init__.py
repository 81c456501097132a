"""Which candidates may be negatives, which are taken: pure functions over arrays."""
