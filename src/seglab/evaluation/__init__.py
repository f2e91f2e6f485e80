"""Scores for each case, their aggregate, and pictures."""
