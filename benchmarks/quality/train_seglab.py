"""seglab, as `seglab train` trains, but for what is recorded: python train_seglab.py < job.json."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from points import Job, Over, Points


def main(job: Job) -> None:
    """Train until the run's own end, or the end of the minutes."""
    points = Points(job)
    from seglab.command import composed_config
    from seglab.config.run_config import load_config
    from seglab.data.loading.training_data import gather
    from seglab.experiment.backend import load_backend
    from seglab.experiment.run_parts import assemble, bundle_of, make_augmentation

    out = Path(job.out)
    where = [f"data.root={job.data}", "data.folds_file=splits_final.json", f"data.fold={job.fold}"]
    config = load_config(composed_config([*job.words, *where, f"data.cache_dir={out / 'cache'}"]))
    training_data = gather(config)
    augmentation = make_augmentation(config, training_data.task)
    load_backend(config.backend, config.trainer.deterministic)
    import nibabel as nib
    import numpy as np

    from seglab.inference.predictor import Predictor
    from seglab.run_record import WorkFile
    from seglab.training.checkpoint import assign, load_state

    parts = assemble(config, training_data, augmentation)
    steps = len(parts.batches["train"])
    with points.stopped():  # what predicts is another network, which gets the weights
        network = config.model.build(training_data.task, tuple(config.data_config.size))
        predictor = Predictor.of(network, bundle_of(config, training_data))
    held = training_data.cases("test")
    assert sorted(case.id for case in held) == sorted(job.cases("val"))

    def predict(folder: Path) -> None:
        state = load_state(out / WorkFile.STATE)
        assign(network.variables, state.best or state.model, "model")
        for case in held:
            sample = training_data.source.read_image(case)
            mask = predictor.predict(sample.seen, sample.spacing)
            nib.save(nib.Nifti1Image(mask.astype(np.uint8), sample.affine), folder / f"{case.id}.nii.gz")

    history = parts.train(config.trainer, out, lambda _, epoch: points.predict_if_due(epoch * steps, predict))
    points.predict_if_due(len(history.epochs) * steps, predict, last=True)


if __name__ == "__main__":
    try:
        main(Job.read(sys.stdin.read()))
    except Over:
        print("the minutes are over")
