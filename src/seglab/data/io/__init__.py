"""Readers of files: images, volumes, tables."""
