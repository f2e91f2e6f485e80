"""What is asked of an export."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from seglab.errors import ConfigError


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for; each field is a word `<field>=<value>` of the command line.

    Attributes:
        out: folder to make, with one folder a target.
        run, model, bundle: one of them: id of a run; `models:/<name>@<alias>`; folder of a bundle.
        format: of `seglab.export.export_targets.FORMATS`.
        precision: of `seglab.export.export_targets.PRECISIONS`.
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

    @property
    def place(self) -> Path:
        """The folder that is made.

        Raises:
            ConfigError: it holds something, is the folder of the command itself, or cannot be made.
        """
        out = Path(self.out)
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise _no_place(out, "a folder that is not empty, in the place of an export", "folder-not-empty")
        if not self.out.strip() or out.absolute() == Path.cwd() or out.name in ("", ".."):
            raise _no_place(out, "an export in the very folder that the command runs in", "folder-not-empty")
        above = next(parent for parent in out.absolute().parents if os.path.lexists(parent))
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise _no_place(out, f"no folder can be made in {above}", "file-unwritable")
        return out


def _no_place(out: Path, what: str, code: str) -> ConfigError:
    return ConfigError(
        what,
        code=code,
        where=f"out={out}",
        expected="no such folder, or an empty one, in a folder that can be written to",
        remedy="choose another folder, such as out=dist/model, or move that one away",
    )
