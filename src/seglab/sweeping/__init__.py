"""Sweeps that are sets: each job has an identity, and launching a sweep again does only what is missing."""
