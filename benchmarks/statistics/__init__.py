"""How often the rule of `seglab.statistics` errs, by simulation: `make test-statistics` writes docs/statistics.md."""
