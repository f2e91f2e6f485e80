"""Compare runs with paired statistics: python scripts/compare.py study=loss_study metric=test_dice (--help)."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from omegaconf import DictConfig

from seglab.command import command
from seglab.comparison.settings import CompareSettings, load_settings, quote_filter
from seglab.runtime.gc_pause import collector_at_rest
from seglab.runtime.terminal import tell

RUNS = Path("mlruns")


@command(config_name="compare", settings=CompareSettings)
def main(cfg: DictConfig) -> None:
    """Print the comparison that the config asks for, and write it as a page."""
    settings = load_settings(cfg)
    tell("loading MLflow and the statistics")
    with collector_at_rest():
        from seglab.reports.comparison.printing import run_comparison
    gc.freeze()  # what was loaded stays, and need not be walked again

    run_comparison(settings, RUNS)


if __name__ == "__main__":
    sys.argv[1:] = quote_filter(sys.argv[1:])
    main()
