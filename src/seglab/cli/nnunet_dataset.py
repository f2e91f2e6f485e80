"""`seglab nnunet-dataset`: a data set as nnU-Net reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line

_EXAMPLES = """examples:
  seglab nnunet-dataset data=nifti data.root=scans data.label_values=[0,1] out=nnUNet_raw/Dataset042_Spleen
  seglab nnunet-dataset data=synthetic3d data.folds=3 out=nnUNet_raw/Dataset001_Synthetic

what is written:
  imagesTr, labelsTr     the labelled cases, a file for each channel; images of 8 bits as PNG
  imagesTs, labelsTs     the test split that the data set brings itself, if it does
  dataset.json           classes, channels, number of cases
  splits_final.json      data.folds folds of whole groups; nnU-Net looks for it in nnUNet_preprocessed/<data set>

seglab reads the same folder: data=nifti data.root=<out> data.folds_file=splits_final.json data.fold=0"""


@dataclass(frozen=True, kw_only=True)
class NnunetDatasetWords:
    """Write a data set as nnU-Net reads it, so that both can train on one folder and the same folds."""

    data: tuple[str, ...] = setting("data=<name> data.root=… …: the data set, written as for seglab train", prefix=True)
    out: str = setting("a new folder, such as nnUNet_raw/Dataset042_Spleen")


def run(words: Sequence[str]) -> None:
    """Write it, and say what is to be known."""
    settings = read(NnunetDatasetWords, words, "nnunet-dataset", _EXAMPLES)
    from seglab.command import composed_config
    from seglab.config.run_config import load_data

    config = load_data(composed_config(settings.data))
    with step("loading what reads the files"):
        from seglab.data.check.palettes import check_palettes
        from seglab.data.nnunet import write_nnunet

    source = config.data.build()
    check_palettes(source, source.cases)
    with step(f"writing {source.name}") as done:
        written = write_nnunet(source, config.data_config, config.seed, Path(settings.out), done)
    print(f"written    {written.cases} cases to train on, {written.tested} to test on, {written.folds} folds")
    print(in_line(f"folder     {settings.out}"))
    for note in written.notes:
        print(f"note       {in_line(note)}")
    print("nnU-Net    nnUNetv2_plan_and_preprocess -d <number> --verify_dataset_integrity")
