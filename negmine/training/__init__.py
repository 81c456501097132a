"""Students: models that are trained on (query, positive, negatives) rows, and then embed."""
