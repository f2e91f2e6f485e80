"""Data sets as they lie on disk, as lists of cases."""
