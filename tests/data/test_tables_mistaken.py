"""Tables of images that somebody filled in wrongly: each mistake has its own words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from volumes import folders

from seglab.data.sources.csv_tables import Csv
from seglab.data.sources.nifti import Nifti
from seglab.errors import DataError


def table(root: Path, *rows: str) -> str:
    for part in ("i", "m"):
        (root / part).mkdir()
        for n in range(2):
            Image.fromarray(np.full((8, 8), n, np.uint8)).save(root / part / f"s{n}.png")
    (root / "list.csv").write_text("\n".join(["image,mask", *rows]) + "\n")
    return str(root / "list.csv")


def test_an_image_that_is_its_own_mask(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its own mask") as caught:
        Csv(root=table(tmp_path, "i/s0.png,m/s0.png", "m/s1.png,m/s1.png"))
    assert caught.value.where.endswith("line 3")
    folders(tmp_path, names=("a", "b"))
    (tmp_path / "t.csv").write_text("image,label\nimages/a.nii.gz,labels/a.nii.gz\nlabels/b.nii.gz,labels/b.nii.gz\n")
    with pytest.raises(DataError, match="its own label") as caught:
        Nifti(root=str(tmp_path), table="t.csv")
    assert caught.value.where.endswith("line 3")


def test_paths_of_windows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"write / in the place of \\") as caught:
        Csv(root=table(tmp_path, r"i\s0.png,m\s0.png"))
    assert caught.value.code == "file-missing"
