"""`seglab compare`: which of these runs is better, with paired statistics."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seglab.cli.verbs import wants_help
from seglab.run_record import RUNS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(words: Sequence[str]) -> None:
    """Compare as the words say; they are read by Hydra."""
    if wants_help(words):
        from seglab.cli.conf_options import compare_page

        print(compare_page())
        return
    from seglab.command import command
    from seglab.comparison.settings import CompareSettings, in_words_of_today, quote_filter

    sys.argv[1:] = quote_filter(in_words_of_today(words))
    command(config_name="compare", settings=CompareSettings)(_compare)()


def _compare(cfg: DictConfig) -> None:
    """Print the comparison that the config asks for, and write it as a page."""
    import gc

    from seglab.comparison.settings import load_settings
    from seglab.gc_pause import collector_at_rest
    from seglab.runtime.terminal import tell

    settings = load_settings(cfg)
    tell("loading MLflow and the statistics")
    with collector_at_rest():
        from seglab.reports.comparison.comparison_printing import run_comparison
    gc.freeze()  # what was loaded stays, and need not be walked again

    run_comparison(settings, RUNS)
