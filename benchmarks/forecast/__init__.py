"""Forecasts of `seglab plan` against the runs that they are of: `make bench-forecast`."""
