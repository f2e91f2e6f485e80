"""Slides: what stands on one, how it fits, and the file."""
