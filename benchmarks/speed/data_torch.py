"""The peer of the data benchmark: `data_torch.py road|mri <folder> <settings>`; knows PyTorch and MONAI, no Keras.

`road` is a `DataLoader` over the arrays and augmentation that seglab uses; `mri` is MONAI's `CacheDataset` with
transforms of the same kinds and probabilities.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data_scenes import BATCH, WORKERS, Scenes

torch.set_num_threads(1)


class TorchScenes(Scenes):
    """The scenes as a `DataLoader` asks for them."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, mask = self.sample(index, np.random.default_rng(int(torch.randint(2**31, (1,)))))
        return torch.from_numpy(image), torch.from_numpy(mask)


def volumes(folder: Path) -> Any:
    """MONAI's way: what is not random is cached in memory, the places to draw around too; the rest in the workers."""
    from monai import transforms as t
    from monai.data import CacheDataset

    both = ["image", "mask"]
    chain = t.Compose(
        [
            t.Lambdad(both, lambda path: np.load(path)),
            t.Lambdad("image", lambda x: np.moveaxis(x, -1, 0)),
            t.Lambdad("mask", lambda x: x[None]),
            t.NormalizeIntensityd("image"),
            t.FgBgToIndicesd("mask", fg_postfix="_fg", bg_postfix="_bg"),
            t.RandCropByPosNegLabeld(
                both,
                "mask",
                (64, 64, 64),
                pos=1,
                neg=1,
                num_samples=1,
                fg_indices_key="mask_fg",
                bg_indices_key="mask_bg",
            ),
            t.DeleteItemsd(["mask_fg", "mask_bg"]),
            t.RandFlipd(both, 0.5, 0),
            t.RandAffined(
                both,
                prob=0.5,
                rotate_range=[np.pi / 12] * 3,
                scale_range=[0.15] * 3,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            t.Rand3DElasticd(both, (4, 6), (50, 150), prob=0.2, mode=("bilinear", "nearest"), padding_mode="zeros"),
            t.RandShiftIntensityd("image", 0.2, prob=0.2),
            t.RandScaleIntensityd("image", 0.25, prob=0.2),
            t.RandAdjustContrastd("image", 0.2, (0.7, 1.3)),
            t.RandBiasFieldd("image", prob=0.2),
            t.RandGaussianNoised("image", 0.2, std=0.15),
            t.RandGaussianSmoothd("image", (0.25, 1), (0.25, 1), (0.25, 1), prob=0.2),
        ]
    )
    files = sorted(folder.glob("*.image.npy"))
    rows = [{"image": str(f), "mask": str(f).replace(".image.", ".mask.")} for f in files]
    return CacheDataset(rows, chain, cache_rate=1.0, num_workers=2, progress=False)


def main(what: str, folder: Path, settings: dict[str, Any]) -> None:
    """Get ready, say so, answer each line with seconds for one sample of an epoch."""
    if what == "road":
        dataset, batch = TorchScenes(folder, settings), BATCH
        loader = torch.utils.data.DataLoader(dataset, batch, True, num_workers=WORKERS, persistent_workers=True)
    else:
        from monai.data import DataLoader

        dataset, batch = volumes(folder), 2
        loader = DataLoader(dataset, batch_size=batch, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    print("=> ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _batch in loader:
            pass
        print(f"=> {(time.perf_counter() - start) / len(dataset)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
