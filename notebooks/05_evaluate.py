# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. Evaluate: what is the model worth?
#
# One score chose the model. Before somebody uses it, more has to be known: how far its outlines are off, which
# objects it misses, whether it knows when it is unsure, and what it does with an image that it was never shown.
#
# [Explore](01_explore.py), [prepare](02_prepare.py), [train](03_train.py), [compare](04_compare.py), **evaluate**.

# %% [markdown]
# ## Which data
# The next cell is the same in all five notebooks. It begins with built-in images, so nothing has to be downloaded.
# For data of your own, write its folder into `CITYSCAPES` or `VOLUMES` and put that name where `BUILT_IN` stands in
# the last line, in each notebook. These are the words of the command line: `seglab train data=nifti …` has the same.
# Other layouts, a folder of images or a table, are in [docs/data.md](../docs/data.md); where to get well-known sets,
# in [docs/your_data.md](../docs/your_data.md).

# %%
import seglab

BUILT_IN = ["data=synthetic2d", "data.count=120", "data.size=[96,96]", "model=unet_mini", "trainer.epochs=12"]
CITYSCAPES = ["data=cityscapes", "data.root=<folder with leftImg8bit and gtFine>", "model=unet", "augment=road"]
VOLUMES = ["data=nifti", "data.root=<folder with dataset.json>", "model=unet3d", "augment=mri"]

SETTINGS = [*BUILT_IN, "data.split_seed=0"]  # the switch: BUILT_IN, CITYSCAPES or VOLUMES

# %% [markdown]
# ## The model
# The run of notebook 3, found in the store by its settings, or trained now. Did another loss win in notebook 4? Say
# it here.

# %%
run = seglab.train(*SETTINGS, "loss=dice", "seed=0", once=True)

# %% [markdown]
# ## Every score on whole cases
# The network sees images of one size; the scores are of whole cases at their own. Dice is what mask and truth share.
# HD95 and ASSD are distances between the outlines: a mask can share much and still have a spike. The scores are added
# to the run; [docs/scores.md](../docs/scores.md) says what each name means.

# %%
import pandas as pd

scores = seglab.evaluate(run, split="test", out="evaluation")
pd.Series({name: value for name, value in scores.items() if "/" not in name}).to_frame("all classes").round(4)

# %%
from pathlib import Path

from IPython.display import Image

folder = Path("evaluation") / "scores"
Image(folder / "spread.png", alt="Every score of every test case")

# %% [markdown]
# ## Does it know when it is unsure?
# A model that says 90% should be right nine times in ten. On the dashed line confidence and truth agree; below it the
# model is too sure of itself. One number, the temperature, fitted on the validation cases, often mends that.

# %%
Image(folder / "reliability.png", alt="Reliability: how often the model is right, by how sure it is")

# %% [markdown]
# ## Dice by hand
# The formula is short: twice the pixels that both hold, over the pixels that each holds. A score that you have
# computed yourself once is one that you trust.

# %%
import numpy as np

checked = seglab.datasets.check(*SETTINGS)
case = next(case for case in checked.source.cases if case.id == checked.split.test[0])
sample = checked.source.read(case)
mask = run.predict(sample.image, sample.spacing)

task = checked.source.task
known = sample.mask != task.ignore_label  # elsewhere there is no truth, and nothing is scored
for number, name in enumerate(task.class_names):
    predicted, truth = (mask == number) & known, (sample.mask == number) & known
    held = predicted.sum() + truth.sum()
    print(f"{name:<20} {2 * (predicted & truth).sum() / held:.4f}" if held else f"{name:<20} in neither")
run.cases.loc[run.cases["id"] == case.id].T

# %%
import matplotlib.pyplot as plt

plane = np.s_[:, :, sample.mask.shape[-1] // 2] if sample.mask.ndim == 3 else np.s_[:, :]
arrays = (sample.image[..., 0], sample.mask, mask)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for panel, name, array in zip(axes, ("image", "truth", "prediction"), arrays, strict=True):
    panel.imshow(array[plane], cmap="gray" if name == "image" else "viridis", interpolation="nearest")
    panel.set_title(name)
    panel.set_axis_off()
plt.show()

# %% [markdown]
# ## Try it
# - Predict with `seglab.load(f"runs:/{run.id}", flips=(0, 1))`: the mean over mirrored images. Is the Dice of this
#   case higher, and what does it cost in time?
# - The built-in images of another seed are another data set: `seglab.evaluate(run, split="all",
#   data=["data.seed=1"])`. Does the score hold? What would make it fall?
# - Which case is the worst in `evaluation/scores/cases.csv`, and would you have drawn it otherwise than the truth?
#
# ## From here
# `seglab promote run=<id> name=<name>` lets others use it, `seglab export` makes it run without TensorFlow, `seglab
# serve` answers requests: [docs/promote.md](../docs/promote.md), [docs/export.md](../docs/export.md),
# [docs/serve.md](../docs/serve.md).
