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
    """What there is.

    Attributes:
        hours: of all studies that are planned together, their runs one after the other.
        memory_gb: gigabytes of each run.
        studies: that share the hours, in equal parts: three where a cascade is planned beside a study.
    """

    hours: float
    memory_gb: float
    studies: int = 1

    @property
    def study_hours(self) -> float:
        """Of one study."""
        return self.hours / self.studies

    @property
    def leaving(self) -> str:
        """What leaves its hours to a study, for reasons."""
        return f"budget.hours={self.hours:g}" + f", shared by {self.studies} studies," * (self.studies > 1)

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
