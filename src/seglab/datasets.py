"""Data sets from Python, before anything is trained: what is wrong, what is there, what a network is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.extras import check_extras
from seglab.run_record import RUNS

if TYPE_CHECKING:
    from seglab.data.check.full_check import FullCheck
    from seglab.reports.document import Picture


def check(*words: str, progress: Callable[[int, int], None] | None = None) -> FullCheck:
    """Read every file of a data set and say what is wrong, as `seglab check-data` does.

    Args:
        words: settings as on the command line, such as `"data=nifti"`, `"data.root=/scans"`; with a model among them
            what does not fit it is found too.
        progress: called with the cases that were read and how many there are.

    Returns:
        `report` (`report.findings`, `report.errors`; `print(report.summary())`), and of a set that can be read its
        `source` (`source.cases`, `source.task`), `split`, and the `facts` of each case.

    Raises:
        ConfigError: settings that cannot work.
    """
    check_extras(("train",), "seglab.datasets.check")
    from seglab.command import composed_config, config_of_data

    config = config_of_data(composed_config(words), words)
    from seglab.data.check.full_check import check_full

    return check_full(config, progress)


def explore(*words: str) -> Path:
    """Write one page of a data set, as `seglab explore` does: pictures, classes, sizes, intensities, findings.

    Args:
        words: as of `check`.

    Returns:
        The page, an HTML file that needs no other, in `mlruns/explore/`.

    Raises:
        ConfigError: settings that cannot work.
        DataError: no case can be read, or they cannot be split.
    """
    check_extras(("train",), "seglab.datasets.explore")
    from seglab.command import composed_config, config_of_data
    from seglab.reports.data.explore import write_explored

    config = config_of_data(composed_config(words), words)
    return write_explored(config, RUNS)[0]


def samples(*words: str) -> Picture:
    """The first training samples as a network is given them: brought to one size, normalised, augmented.

    Args:
        words: settings of a run, such as `"data.size=[64,64]"`, `"augment=strong"`. Nothing is recorded.

    Returns:
        A picture that a notebook shows; `picture.png` are its bytes.

    Raises:
        ConfigError, DataError: what cannot work.
    """
    check_extras(("train",), "seglab.datasets.samples")
    from seglab.command import composed_config
    from seglab.config.run_config import load_config

    config = load_config(composed_config(words))
    from seglab.data.loading.training_data import gather
    from seglab.experiment.record import draw_samples
    from seglab.experiment.run_parts import make_augmentation
    from seglab.runtime.reproducibility import load_tensorflow

    training_data = gather(config)
    augmentation = make_augmentation(config, training_data.task)
    load_tensorflow()
    from seglab.data.loading.batches import Batches
    from seglab.reports.comparison.plots import png
    from seglab.reports.document import Picture

    batches = Batches(training_data, "train", config.data_config, seed=config.seed, augmentation=augmentation)
    caption = f"Training samples of {config.data.name} as a network is given them, augmentation {config.augment.name}."
    return Picture("training_samples", png(draw_samples(training_data, batches)), caption)
