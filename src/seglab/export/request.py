"""What is asked of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seglab.errors import ConfigError

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for; each field is a word `<field>=<value>` of the command line.

    Attributes:
        out: folder to make, with one folder a target.
        run, model, bundle: one of them: id of a run; `models:/<name>@<alias>`; folder of a bundle.
        format: of `seglab.export.targets.FORMATS`.
        precision: `float32`, `int8`.
        graph: `logits`, or `end_to_end` for raw pixels in and class ids out.
        image_size: of the image that an end-to-end graph takes; the network's when None.
        split: that accuracy is measured on.
        data: words that begin with `data`, for the data in another place; see `find_subject`.
        accuracy: False to export without any labelled image: only the example is compared then.
        calibration: training cases that int8 is fitted to.
        allow_drop: Dice that int8 may lose; None for the rule.
        key: Ed25519 key in PEM to sign with.
        tracking_uri: where the run is recorded; None for the store in `mlruns/`.
    """

    out: str
    run: str | None = None
    model: str | None = None
    bundle: str | None = None
    format: tuple[str, ...] = ("openvino", "onnx")
    precision: tuple[str, ...] = ("float32",)
    graph: str = "logits"
    image_size: tuple[int, ...] | None = None
    split: str = "test"
    data: tuple[str, ...] = ()
    accuracy: bool = True
    calibration: int = 64
    allow_drop: float | None = None
    key: str | None = None
    tracking_uri: str | None = None

    @property
    def reference(self) -> str:
        """The model that is exported."""
        given = [word for word in (self.run, self.model, self.bundle) if word]
        if len(given) != 1:
            raise ConfigError(
                "one model is exported",
                code="one-model",
                where="run, model, bundle",
                found=", ".join(given) or "none",
                expected="run=<id>, model=models:/<name>@<alias> or bundle=<folder>",
                remedy="see the runs with: seglab ui",
            )
        return given[0]
