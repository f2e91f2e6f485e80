"""Losses on logits, in `keras.ops`: region overlap, distribution, Lovász and their sums."""
