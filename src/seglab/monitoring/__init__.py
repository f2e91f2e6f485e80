"""Models that are watched: a row for each answer, drift, predicted quality, and what to label next."""
