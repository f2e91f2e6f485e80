"""Speed as ratios: every variant in a process of its own, asked in turn in one run, compared pair by pair."""
