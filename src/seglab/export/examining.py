"""A target set beside the reference, case by case, in a process without TensorFlow.

python -m seglab.export.examining <folder>; for each line on standard input, the path of a case as `write_case` makes
it, it answers with a line of JSON, the fields of `CaseComparison`. The first line that it prints says what it runs in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.export.export_targets import ExportRefused
from seglab.export.folder import GIVEN, IMAGE, Exported, read_folder
from seglab.inference.loaded_network import OneByOne
from seglab.metrics.confusion import confusion_matrix
from seglab.task import Task

EXAMPLE = "example:"  # before the file to write to


@dataclass(frozen=True)
class CaseComparison:
    """What came of one case.

    Attributes:
        confusion: `(K, K)` of the target's mask against the truth.
        mask_differs: pixels whose class is not that of the reference's mask, of all `pixels`.
        logit: largest difference of a logit from the reference's, over one window of the case.
        label_differs: pixels of that window whose class is not the reference's, of all `labels`.
        margin: of these pixels the largest distance between the reference's best two logits; 0 without any.
    """

    confusion: list[list[int]]
    mask_differs: int
    pixels: int
    logit: float
    label_differs: int
    labels: int
    margin: float


def write_case(
    file: Path,
    *,
    image: np.ndarray,
    spacing: Sequence[float] | None,
    truth: np.ndarray,
    mask: np.ndarray,
    window: np.ndarray,
    logits: np.ndarray,
) -> Path:
    """Keep a case for an examination: the raw image with its truth and the reference's mask, and one input of the
    network `(1, *size, C)` with the reference's logits."""
    np.savez(
        file,
        image=image,
        spacing=np.array(() if spacing is None else spacing, float),
        truth=truth,
        mask=mask,
        window=window,
        logits=logits,
    )
    return file


class Examiner:
    """Answers for one target.

    Args:
        network: the target's, with logits out, or with class ids where it is end to end.
        exported: what goes with it.
    """

    def __init__(self, network: OneByOne, exported: Exported):
        self._network, self._exported, self.task = network, exported, exported.bundle.task
        self._predictor = None if exported.end_to_end else exported.predictor(network=network)

    def example(self) -> dict[str, np.ndarray]:
        """What the network answers to the folder's example, and the mask."""
        answer = self._network.run(self._exported.array(GIVEN)).copy()
        if self._predictor is None:
            return {"answer": answer, "mask": answer[0]}
        image = self._exported.array(IMAGE)
        return {"answer": answer, "mask": self._predictor.predict(image, self._predictor.example_spacing)}

    def answer(self, file: Path) -> CaseComparison:
        """See `CaseComparison`; raises `DataError` as `Predictor.predict` does."""
        with np.load(file, allow_pickle=False) as case:
            image, truth, reference = case["image"], case["truth"], case["mask"]
            spacing = tuple(case["spacing"]) or None
            if self._predictor is None:
                mask = self._network.run(image[None])[0]
                differences = (0.0, 0, 0, 0.0)
            else:
                mask = self._predictor.predict(image, spacing)
                found = self._network.logits(case["window"])
                differences = compare_logits(found, case["logits"], self.task, self._exported.bundle.threshold)
        return CaseComparison(
            confusion_matrix(truth, mask, self.task).tolist(),
            int((mask != reference).sum()),
            int(reference.size),
            *differences,
        )


class Examination:
    """A process that examines one target; to be used in a `with`.

    Args:
        folder: of the target.

    Raises:
        ExportRefused: it cannot run the target; with the last lines of its errors.
    """

    def __init__(self, folder: Path):
        self._folder, self._stderr = folder, tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "seglab.export.examining", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self.reply = self._line()

    def answer(self, file: Path) -> CaseComparison:
        """What came of a case."""
        return CaseComparison(**self._ask(str(file)))

    def example(self, file: Path) -> dict[str, np.ndarray]:
        """What the target answers to its own example, by way of a file: `answer`, and the `mask`."""
        self._ask(f"{EXAMPLE}{file}")
        with np.load(file, allow_pickle=False) as found:
            return dict(found)

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its end is reported below
            print(line, file=self._process.stdin, flush=True)
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self._stderr.seek(0)
        lines = self._stderr.read().strip().splitlines()
        raise ExportRefused(
            "an exported model that does not run",
            where=self._folder.name,
            found=f"exit code {self._process.wait()}: {' '.join(lines[-4:])[:600]}",
            expected="a runtime that loads what was written",
            remedy="use another format",
        )

    def __enter__(self) -> Examination:
        return self

    def __exit__(self, *error: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.terminate()
        self._process.wait()
        self._stderr.close()


def compare_logits(
    found: np.ndarray, reference: np.ndarray, task: Task, threshold: float = 0.5
) -> tuple[float, int, int, float]:
    """Largest difference, pixels of another class, pixels in all, and the largest margin of the former by the
    reference: the distance between its two best logits, of one logit that to the threshold, of regions the largest such
    distance of a region that a pixel is in of one and not of the other."""
    largest = float(np.abs(found.astype(np.float64) - reference).max())
    if task.binary or task.regions:
        at = np.log(threshold / (1 - threshold)) if 0 < threshold < 1 else 0.0
        changed = (found > at) != (reference > at)
        other, margin = changed.any(axis=-1), np.where(changed, np.abs(reference - at), 0).max(axis=-1)
    else:
        other = found.argmax(-1) != reference.argmax(-1)
        second, first = np.moveaxis(np.partition(reference, -2, axis=-1)[..., -2:], -1, 0)
        margin = first - second
    return largest, int(other.sum()), other.size, float(margin[other].max(initial=0.0))


def main(words: Sequence[str]) -> None:
    """Answer until standard input ends."""
    exported = read_folder(words[0])
    network = exported.open()
    examiner = Examiner(network, exported)
    fields: dict[str, Any] = {"precision": network.precision, "tensorflow": "tensorflow" in sys.modules}
    print(json.dumps(fields), flush=True)
    for line in sys.stdin:
        word = line.rstrip("\n")
        if word.startswith(EXAMPLE):
            found = examiner.example()
            np.savez(word.removeprefix(EXAMPLE), answer=found["answer"], mask=found["mask"])
            print("{}", flush=True)
        else:
            print(json.dumps(asdict(examiner.answer(Path(word)))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
