"""MONAI's usual recipe, in an environment of its own: python train_monai.py < job.json.

What its tutorial of the spleen does (Project-MONAI/tutorials, 3d_segmentation), with what another data set asks for:
a U-Net of 16 to 256 channels with two residual units, batches of two volumes with four boxes each, half of them around
the foreground, Dice and cross-entropy, Adam at 1e-4, sliding windows. Volumes are normalised each by itself, as in the
tutorial of brain tumours, since MRI has no window of intensities; a box is the largest multiple of 16 in the median
volume; voxels stay as they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.layers import Norm
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByPosNegLabeld,
    SpatialPadd,
)
from points import Job, Over, Points

MULTIPLE = 16
KEYS = ("image", "label")


def box(files: list[str]) -> list[int]:
    """The largest multiples of 16 in the median volume, of at least 32."""
    shapes = [nib.as_closest_canonical(nib.load(file)).shape[:3] for file in files]
    return [max(int(side) // MULTIPLE * MULTIPLE, 2 * MULTIPLE) for side in np.median(shapes, axis=0)]


def main(job: Job) -> None:
    """Train until the minutes are over."""
    points = Points(job)
    torch.manual_seed(0)
    classes = len(
        set(np.unique(np.concatenate([np.unique(nib.load(job.label(c)).dataobj) for c in job.cases("train")])))
    )
    files = [{"image": str(job.image(case)), "label": str(job.label(case))} for case in job.cases("train")]
    size = box([one["image"] for one in files])
    print(f"{classes} classes, boxes of {size}", flush=True)

    def reading(keys: tuple[str, ...]) -> list[object]:
        return [
            LoadImaged(keys=keys),
            EnsureChannelFirstd(keys=keys),
            Orientationd(keys=keys, axcodes="RAS"),
            NormalizeIntensityd(keys="image", nonzero=True, channel_wise=True),
        ]

    boxes = RandCropByPosNegLabeld(
        keys=KEYS, label_key="label", spatial_size=size, pos=1, neg=1, num_samples=4, image_key="image"
    )
    workers = os.cpu_count() or 1
    data = CacheDataset(
        files, Compose([*reading(KEYS), SpatialPadd(keys=KEYS, spatial_size=size), boxes]), num_workers=workers
    )
    loader = DataLoader(data, batch_size=2, shuffle=True, num_workers=workers)
    network = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=classes,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        norm=Norm.BATCH,
    )
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    held = Compose(reading(("image",)))

    def predict(folder: Path) -> None:
        network.eval()
        with torch.no_grad():
            for case in job.cases("val"):
                image = held({"image": str(job.image(case))})["image"]
                logits = sliding_window_inference(image[None], size, 4, network, overlap=0.5)
                mask = logits[0].argmax(0).numpy().astype(np.uint8)
                nib.save(nib.Nifti1Image(np.asarray(mask), image.affine.numpy()), folder / f"{case}.nii.gz")
        network.train()

    network.train()
    steps = 0
    while True:
        for batch in loader:
            optimizer.zero_grad()
            loss(network(batch["image"]), batch["label"]).backward()
            optimizer.step()
            steps += 1
            points.predict_if_due(steps, predict)


if __name__ == "__main__":
    try:
        main(Job.read(sys.stdin.read()))
    except Over:
        print("the minutes are over")
