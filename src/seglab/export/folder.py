"""The folder of one target: its files, their digests, and what is read of it; no TensorFlow, and nothing is run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from seglab.errors import DataError
from seglab.inference.backends import BACKENDS, open_network
from seglab.inference.bundle import FIRST_STAGE, Bundle
from seglab.inference.loaded_network import LoadedNetwork, OneByOne
from seglab.inference.predictor import Predictor
from seglab.runtime.file_digest import sha256_of
from seglab.safety.untrusted_files import read_json

FORMAT = 1
MANIFEST, SUMS, SIGNATURE = "manifest.json", "SHA256SUMS", "SHA256SUMS.sig"
ACCURACY, LATENCY, SBOM, README = "accuracy.json", "latency.json", "sbom.cdx.json", "README.md"
LAYERS = "layers.json"
# A raw image, what the network gets of it, what it answers, and the mask.
IMAGE, GIVEN, ANSWER, MASK = "example_image.npy", "example_in.npy", "example_out.npy", "example_mask.npy"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Exported:
    """A target as its folder tells it.

    Attributes:
        folder: where it lies.
        manifest: as written.
        bundle: what goes with the network.
    """

    folder: Path
    manifest: dict[str, Any]
    bundle: Bundle

    @property
    def runtime(self) -> str:
        """That runs it; `savedmodel` where TensorFlow does."""
        return str(self.manifest["target"]["format"])

    @property
    def end_to_end(self) -> bool:
        """Whether its graph goes from raw pixels to class ids."""
        return bool(self.manifest["target"]["graph"] == "end_to_end")

    @property
    def int8(self) -> bool:
        """Whether numbers of its network have 8 bits."""
        return bool(self.manifest["target"]["precision"] != "float32")

    def open(self, threads: int | None = None) -> OneByOne:
        """The network; raises as `open_network`."""
        network = open_network(self.runtime, self.folder / BACKENDS[self.runtime].file, threads=threads)
        assert isinstance(network, OneByOne)
        return network

    @property
    def first_stage(self) -> Exported | None:
        """Of a cascade the target within it, whose mask its network is told; raises as `read_folder`."""
        return read_folder(self.folder / FIRST_STAGE) if self.bundle.both_stages else None

    def predictor(self, threads: int | None = None, network: LoadedNetwork | None = None) -> Predictor:
        """The predictor of a target that returns logits, of its network where that is open, and of a cascade's both
        stages; raises as `open_network`."""
        first = self.first_stage
        before = None if first is None else first.predictor(threads)
        return Predictor.of(network or self.open(threads), self.bundle, first=before)

    def array(self, name: str) -> np.ndarray:
        """One of the arrays of the example; nothing in it is unpickled."""
        found: np.ndarray = np.load(self.folder / name, allow_pickle=False)
        return found


def files_below(folder: Path) -> list[str]:
    """Of all but folders, the path from the folder on, with slashes, sorted; without the sums and their signature."""
    found = (
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return sorted(name for name in found if name not in (SUMS, SIGNATURE))


def write_sums(folder: Path) -> None:
    """Write the digest of every file, as `sha256sum -c SHA256SUMS` reads them."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in files_below(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> None:
    """See that a folder holds the files that it was written with, and no others.

    Raises:
        DataError: names the first file that is missing, altered, added, or no file.
    """
    if not (folder / SUMS).is_file():
        raise _refused("no exported model here", folder, f"no {SUMS}", "give a folder that seglab export made")
    listed: dict[str, str] = {}
    text = (folder / SUMS).read_bytes().decode("utf-8", "replace")
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        found = _LINE.fullmatch(line)
        inside = (
            text.endswith("\n")
            and found
            and not PurePosixPath(found[2]).is_absolute()
            and ".." not in PurePosixPath(found[2]).parts
        )
        if not found or not inside:
            raise _refused("a list of digests that was altered", folder / SUMS, f"line {number}: {line[:100]}")
        listed[found[2]] = found[1]
    there = files_below(folder)
    for name in sorted(set(listed) | set(there)):
        file = folder / name
        if file.is_symlink():
            raise _refused("a link in an exported folder", file, "a link")
        if name not in there:
            raise _refused("a file of an exported folder that is missing", file, "no such file")
        if name not in listed:
            raise _refused("a file that was added to an exported folder", file, f"not in {SUMS}")
        if not file.is_file():
            raise _refused("something in the place of a file of an exported folder", file, "a pipe or a device")
        if (digest := sha256_of(file)) != listed[name]:
            raise _refused(
                "a file of an exported folder that was altered",
                file,
                f"sha256 {digest[:16]}…, not {listed[name][:16]}…",
            )


def read_folder(folder: Path | str) -> Exported:
    """A target's folder, after its digests were checked.

    Raises:
        DataError: it is not what was exported, or of a later format.
    """
    folder = Path(folder)
    check_sums(folder)
    file = folder / MANIFEST
    try:
        manifest = read_json(file)
        if manifest["format"] != FORMAT:
            raise DataError(
                "an exported folder that this seglab cannot read",
                code="exported-format",
                where=str(file),
                found=f"format {str(manifest['format'])[:20]}",
                expected=f"format {FORMAT}",
                remedy=f"use the seglab that made it: {manifest.get('versions', {}).get('seglab', 'a later one')}",
            )
        exported = Exported(folder, manifest, Bundle.from_dict(manifest["bundle"]))
        known = exported.runtime in (*BACKENDS, "savedmodel")
        if not known or not {"precision", "executed", "graph"} <= set(manifest["target"]):
            raise ValueError(f"target is {manifest['target']}")
        if manifest["file"] != (BACKENDS[exported.runtime].file if exported.runtime in BACKENDS else "saved_model"):
            raise ValueError(f"file is {manifest['file']}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise _refused(
            "a manifest that cannot be read", file, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        ) from error
    return exported


def targets_below(folder: Path | str) -> list[Path]:
    """The folders of targets in an exported folder, itself if it is one; raises `DataError` where there is none."""
    folder = Path(folder)
    if (folder / SUMS).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{SUMS}")) if folder.is_dir() else []
    if not found:
        reason = f"no {SUMS}, here or one folder below" if folder.is_dir() else "no such folder"
        raise _refused("no exported model here", folder, reason, "give a folder that seglab export made")
    return found


def write_json(file: Path, values: Any) -> None:
    """JSON that is the same for the same values."""
    file.write_text(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _refused(what: str, where: Path, found: str, remedy: str = "") -> DataError:
    return DataError(
        what,
        code="exported-model-altered",
        where=str(where),
        found=found,
        expected="the files that were exported, to the bit",
        remedy=remedy or "copy the folder again from where it was exported, or export it again",
    )
