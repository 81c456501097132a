"""Finding the passages nearest to queries: arrays and block iterators in, arrays out."""
