"""Scores for each case, their aggregate, pictures and comparisons."""
