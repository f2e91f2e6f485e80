"""What a model can be exported to: one row a format, and what is refused before anything is converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seglab.errors import ConfigError, SeglabError, nearest
from seglab.inference.backends import BACKENDS, check_installed
from seglab.inference.bundle import Bundle

PRECISIONS = ("float32", "int8", "int8_dynamic")
GRAPHS = ("logits", "end_to_end")


class ExportRefused(SeglabError):
    """An export that is not what it was trained to be, so that nothing of it is left."""

    def __init__(self, what: str, **rest: Any):
        super().__init__(what, code="exported-model-refused", **rest)


@dataclass(frozen=True)
class Format:
    """A kind of model file.

    Attributes:
        needs: modules to convert with, and the package of each.
        precisions: that it is offered in.
        ranks: of the networks that can be converted.
        why_ranks: why no others, in a sentence.
    """

    needs: tuple[tuple[str, str], ...]
    precisions: tuple[str, ...]
    ranks: tuple[int, ...] = (2, 3)
    why_ranks: str = ""


FORMATS = {
    "openvino": Format((("openvino", "openvino"),), ("float32", "int8")),
    "onnx": Format((("onnx", "onnx"), ("tf2onnx", "tf2onnx"), ("onnxruntime", "onnxruntime")), ("float32",)),
    "litert": Format(
        (("ai_edge_litert", "ai-edge-litert"),),
        ("float32", "int8", "int8_dynamic"),
        ranks=(2,),
        why_ranks="LiteRT has no pooling of volumes: a file would be written that its interpreter refuses to load",
    ),
    "savedmodel": Format((), ("float32",)),
}


@dataclass(frozen=True)
class Target:
    """One model file that is asked for.

    Attributes:
        format: of `FORMATS`.
        precision: of `PRECISIONS`.
        graph: `logits`, or `end_to_end`: from raw pixels to class ids.
    """

    format: str
    precision: str
    graph: str = "logits"

    @property
    def quantised(self) -> bool:
        """Whether some of its numbers have 8 bits, so that it is held to its scores and not to its logits."""
        return self.precision != "float32"

    @property
    def calibrated(self) -> bool:
        """Whether it is fitted to training cases; the ranges of `int8_dynamic` are those of each image."""
        return self.precision == "int8"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.format}-{self.precision}" + ("-end-to-end" if self.graph == "end_to_end" else "")

    @property
    def runtime(self) -> str | None:
        """That runs it, of `BACKENDS`; None where TensorFlow does."""
        return self.format if self.format in BACKENDS else None


def targets_of(formats: Sequence[str], precisions: Sequence[str], graph: str) -> list[Target]:
    """Every format in every precision; raises `ConfigError` for what is unknown or not offered."""
    for key, words, known in (
        ("format", formats, FORMATS),
        ("precision", precisions, PRECISIONS),
        ("graph", [graph], GRAPHS),
    ):
        for word in words:
            if word not in known:
                raise ConfigError(
                    f"an unknown {key}",
                    code="unknown-choice",
                    where=key,
                    found=word,
                    expected="one of " + ", ".join(known),
                    remedy=nearest(word, known),
                )
    for name in formats:
        offered = _offered(name, graph)
        if not set(precisions) & set(offered):
            raise ConfigError(
                "a precision that this format is not offered in",
                code="export-precision",
                where=f"format={name}" + (", graph=end_to_end" if graph == "end_to_end" else ""),
                found=f"precision={','.join(precisions)}",
                expected=" or ".join(offered),
                remedy=f"precision={offered[0]}, or another format",
            )
    pairs = [(name, one) for name in dict.fromkeys(formats) for one in dict.fromkeys(precisions)]
    return [Target(name, one, graph) for name, one in pairs if one in _offered(name, graph)]


def _offered(name: str, graph: str) -> tuple[str, ...]:
    """Precisions of a format. LiteRT's converter would quantise resizing and choice of the class, too."""
    offered = FORMATS[name].precisions
    return ("float32",) if graph == "end_to_end" and name == "litert" else offered


def check_targets(targets: Sequence[Target], bundle: Bundle) -> None:
    """See that a model can go to the targets, and that what converts it is there; needs no TensorFlow.

    Raises:
        ConfigError: a rank that a format does not have, an end-to-end graph that cannot be, a cascade to what runs no
            two networks, or a missing package.
    """
    for target in targets:
        row, rank = FORMATS[target.format], bundle.task.rank
        if bundle.both_stages and (target.quantised or target.graph != "logits" or not target.runtime):
            raise ConfigError(
                "a cascade, to a target that cannot be two networks",
                code="cascade-two-networks",
                where=target.name,
                found="a second stage that sees the mask of the first",
                expected="float32 logits of each stage: "
                + " or ".join(f"format={name}" for name in BACKENDS if name in FORMATS),
                remedy="format=openvino precision=float32 graph=logits; or export the first stage alone",
            )
        if rank not in row.ranks:
            raise ConfigError(
                f"a {rank}D model cannot go to {target.format}",
                code="export-rank",
                where=f"format={target.format}",
                found=row.why_ranks,
                expected=" or ".join(f"{one}D" for one in row.ranks),
                remedy="format=openvino or format=onnx, which run volumes",
            )
        if target.graph == "end_to_end":
            _check_end_to_end(bundle)
        needed = [
            *row.needs,
            *([("nncf", "nncf")] if target.precision == "int8" and target.format == "openvino" else []),
        ]
        for module, package in needed:
            check_installed(module, package, f"format={target.format}, precision={target.precision}")


def _check_end_to_end(bundle: Bundle) -> None:
    if bundle.preprocessing.mode == "zscore":
        why, remedy = "data.normalize=zscore sorts the pixels of each image", "graph=logits, or train with another one"
    elif bundle.task.rank == 3 or bundle.spacing is not None:
        why, remedy = "volumes are resampled to a spacing and covered with windows", "graph=logits"
    elif bundle.preprocessing.scale not in ("bytes", "own"):
        why, remedy = f"its images count in {bundle.preprocessing.scale} and not in 8 bits", "graph=logits"
    else:
        return
    raise ConfigError(
        "a model whose preprocessing cannot be put into its graph",
        code="export-graph",
        where="graph=end_to_end",
        found=why,
        expected="8-bit images that are normalised number by number",
        remedy=remedy,
    )
