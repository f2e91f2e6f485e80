"""What is measured: the networks with their inputs, and the number formats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepCase:
    """A training step of the classic U-Net.

    Attributes:
        model: as `seglab train` calls it.
        size: of an image or volume.
        batch: of a step.
        width: channels of the first level.
    """

    model: str
    size: tuple[int, ...]
    batch: int
    width: int

    @property
    def rank(self) -> int:
        """2 or 3."""
        return len(self.size)

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.model}, {' × '.join(map(str, self.size))}, batch {self.batch}"


CASES = (
    StepCase("unet", (128, 128), 32, 32),
    StepCase("unet", (512, 1024), 4, 32),
    StepCase("unet3d", (64, 64, 64), 2, 16),
    StepCase("unet3d", (128, 128, 128), 1, 16),
)
# To see on a CPU that everything is measured; the numbers say nothing.
TINY = (StepCase("unet", (16, 16), 2, 2), StepCase("unet3d", (8, 8, 8), 1, 2))
FORMATS = ("mixed_float16", "mixed_bfloat16", "float32")
