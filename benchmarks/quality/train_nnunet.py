"""nnU-Net, in an environment of its own: python train_nnunet.py < job.json.

Its own fingerprint, plan, preprocessing, trainer and prediction, in `3d_fullres`. Unlike a training of 1000 epochs its
learning rate falls to nothing within the minutes, as in its trainers of few epochs, and an epoch is some iterations
instead of 250, with a fifth of them validated, so that the clock is looked at more often; no checkpoints, no plots, and
as with the others no test-time flips (they take eight times as long).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from points import Job, Over, Points


def main(job: Job) -> None:
    """Plan, prepare, train until the minutes are over."""
    points = Points(job)
    data, out = Path(job.data), Path(job.out)
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(out / name)
        (out / name).mkdir()
    (out / "raw" / data.name).symlink_to(data, target_is_directory=True)
    import torch
    from batchgenerators.utilities.file_and_folder_operations import load_json
    from nnunetv2.experiment_planning import plan_and_preprocess_api as planning
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    cores = os.cpu_count() or 1
    torch.set_num_threads(cores)  # as its command does on a CPU
    number = int(data.name[len("Dataset") :].partition("_")[0])
    planning.extract_fingerprints([number], num_processes=cores)
    planning.plan_experiments([number])
    planning.preprocess([number], configurations=["3d_fullres"], num_processes=[cores])
    prepared = out / "preprocessed" / data.name
    shutil.copy(data / "splits_final.json", prepared)
    print(f"planned and prepared in {points.seconds:.0f} s", flush=True)

    class Trainer(nnUNetTrainer):
        """Its own trainer, which looks at the clock."""

        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            self.lr_scheduler.step(points.share * self.num_epochs)

        def on_epoch_end(self) -> None:
            self.current_epoch += 1
            points.predict_if_due(self.current_epoch * self.num_iterations_per_epoch, self.predict)

        def predict(self, folder: Path) -> None:
            self.set_deep_supervision_enabled(False)
            predictor = nnUNetPredictor(
                use_mirroring=False, device=self.device, perform_everything_on_device=False, allow_tqdm=False
            )
            weights = [{name: value.clone() for name, value in self.network.state_dict().items()}]
            predictor.manual_initialization(
                self.network,
                self.plans_manager,
                self.configuration_manager,
                weights,
                self.dataset_json,
                type(self).__name__,
                self.inference_allowed_mirroring_axes,
            )
            cases = job.cases("val")
            images, masks = [[str(job.image(case))] for case in cases], [str(folder / case) for case in cases]
            predictor.predict_from_files_sequential(images, masks)
            self.set_deep_supervision_enabled(self.enable_deep_supervision)
            self.network.train()

    plans = load_json(str(prepared / "nnUNetPlans.json"))
    plans["continue_training"] = False
    trainer = Trainer(plans, "3d_fullres", job.fold, load_json(str(prepared / "dataset.json")), torch.device("cpu"))
    epochs = trainer.num_epochs * trainer.num_iterations_per_epoch // job.iterations
    trainer.num_epochs, trainer.num_iterations_per_epoch = epochs, job.iterations
    trainer.num_val_iterations_per_epoch = max(job.iterations // 5, 1)
    trainer.disable_checkpointing = True
    try:
        trainer.run_training()
    finally:
        for loader in (trainer.dataloader_train, trainer.dataloader_val):
            if hasattr(loader, "_finish"):
                loader._finish()


if __name__ == "__main__":
    try:
        main(Job.read(sys.stdin.read()))
    except Over:
        print("the minutes are over")
