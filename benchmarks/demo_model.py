"""The model of the demonstrations: the demo's U-Net, trained unless a run of it is there, and exported once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from seglab.run_record import RUNS, StoreFile
from seglab.tracking.store import open_store

OUT = Path("dist/serve-demo")
DATA = "data=synthetic2d"
WORDS = ["model=unet", "loss=dice", DATA]
NAME = "UNet_DiceLoss_Adam"


def exported(words: list[str]) -> Path:
    """The exported folder, of float32 and int8; `words` go to the training where there is none yet."""
    if not OUT.is_dir():
        run = latest() if (RUNS / StoreFile.DATABASE).exists() else None
        if run is None:
            seglab("train", *WORDS, "trainer.epochs=20", *words)
            run = latest()
        seglab("export", f"run={run}", "format=openvino", "precision=float32,int8", f"out={OUT}")
    return OUT


def seglab(*words: str) -> None:
    print("$ seglab", *words, flush=True)
    if code := subprocess.run([sys.executable, "-m", "seglab", *words], check=False).returncode:
        sys.exit(code)


def latest() -> str | None:
    """The id of the last whole run of the demo's model on the demo's images."""
    wanted = f"attributes.status = 'FINISHED' AND attributes.run_name = '{NAME}' AND params.`data.name` = 'Synthetic2D'"
    runs = open_store(None, RUNS).all_runs(wanted)
    return max(runs, key=lambda run: run.info.end_time).info.run_id if runs else None
