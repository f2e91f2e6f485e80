"""What a study may take."""

from __future__ import annotations

from dataclasses import dataclass

# Of the memory, for what a forecast does not know.
SPARE = 0.15
# Epochs that a study may have; a budget is rounded down to one of them, so that a machine that is a little slower on
# another day plans the same.
EPOCHS = (
    *(5, 6, 8, 10, 12, 15, 18, 20, 25, 30, 35, 40, 50, 60, 70, 80, 100, 120, 150, 180),
    *(200, 250, 300, 400, 500, 600, 800, 1000),
)


@dataclass(frozen=True)
class Budget:
    """Hours of the whole study, its runs one after the other; gigabytes of each run."""

    hours: float
    memory_gb: float

    @property
    def room(self) -> float:
        """Bytes that a plan may fill."""
        return self.memory_gb * 1e9 * (1 - SPARE)


def epochs_within(seconds: float) -> int | None:
    """The largest of `EPOCHS` that so many epochs hold; None where they hold fewer than the fewest.

    Args:
        seconds: as a number of epochs: the time that is left over the time of one.
    """
    return max((epochs for epochs in EPOCHS if epochs <= seconds), default=None)
