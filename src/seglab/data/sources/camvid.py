"""CamVid: road scenes from four videos, 11 classes and void (Brostow et al. 2009)."""

from __future__ import annotations

from pathlib import Path

from seglab.config.types import Place
from seglab.data.cases import SPLIT_NAMES, Case, assign_groups
from seglab.data.io.folders import check_partners, files_in
from seglab.data.io.image_files import IMAGE_ENDINGS
from seglab.data.labels.label_schema import built_in_schema
from seglab.data.sources.image_cases import ImageCases

# 0016E5_01290 is a frame of the sequence 0016E5.
SEQUENCE = r"^([^_]+)_"


class CamVid(ImageCases):
    """Folders `train`, `val`, `test` of frames, with masks of the same names in `trainannot`, `valannot`, `testannot`.

    The masks hold 0 to 10 for the classes and 11 for void, which is never trained on and never scored. All eleven
    classes count in the mean. A group is a sequence (the name up to the first `_`).

    G. Brostow, J. Fauqueur, R. Cipolla: Semantic object classes in video. Pattern Recognition Letters 30, 2009; the
    three folders are those of V. Badrinarayanan et al., SegNet, 2017, https://arxiv.org/abs/1511.00561

    Args:
        root: folder that holds the six folders.
        customary_split: True for the split of the folders, which published scores are of, and in which frames of one
            video lie in two splits; False for none, so that whole sequences are split.

    Raises:
        DataError: a missing folder, frame or mask; on reading, as `ImageCases`.
    """

    def __init__(self, *, root: Place, customary_split: bool = False):
        cases: list[Case] = []
        split: dict[str, list[str]] = {}
        for name in SPLIT_NAMES:
            frames = files_in(Path(root), name, "data.root", IMAGE_ENDINGS)
            masks = files_in(Path(root), f"{name}annot", "data.root", IMAGE_ENDINGS)
            check_partners(frames, masks)
            sequence = assign_groups(list(frames), pattern=SEQUENCE)
            cases += [Case(i, (str(frames[i]),), str(masks[i]), sequence[i]) for i in frames]
            split[name] = list(frames)
        super().__init__("CamVid", cases, built_in_schema("camvid").classes(), split=split if customary_split else None)
