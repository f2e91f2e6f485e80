"""Error rates of the search for look-alikes on a data set: python scripts/bench_lookalikes.py data=camvid data.root=…

Takes the same words as train.py; a model is not needed. Prints how many images of validation and test look like one of
training (false alarms where the split is right), and of images that were cropped, mirrored … how many are found.
"""

from __future__ import annotations

from omegaconf import DictConfig
from rich.console import Console

from seglab.command import command, data_settings_of


@command(config_name="train", about=__doc__)
def main(cfg: DictConfig) -> None:
    """Measure on the composed config's data set and print a table."""
    from seglab.bench.lookalikes import measure

    Console(highlight=False).print(measure(data_settings_of(cfg)))


if __name__ == "__main__":
    main()
