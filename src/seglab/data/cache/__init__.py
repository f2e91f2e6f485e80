"""Preprocessed cases on disk and in memory."""
