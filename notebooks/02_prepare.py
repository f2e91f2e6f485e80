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
# # 2. Prepare: what a network is shown
#
# A network sees numbers of one size and one range, not your files. Between the two lie three steps: the image is
# brought to `data.size`, its intensities are normalised, and each training sample is changed at random
# (augmentation). Here you see the outcome of all three before an hour is spent on training.
#
# [Explore](01_explore.py), **prepare**, [train](03_train.py), [compare](04_compare.py), [evaluate](05_evaluate.py).

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
# ## Without augmentation
# The first training samples, with their classes outlined. This is the question to ask of the picture: could *you*
# draw the outline from what is left of the image? Where a small object vanished when the image was made smaller, no
# network finds it.

# %%
seglab.datasets.samples(*SETTINGS, "augment=none")

# %% [markdown]
# ## With strong augmentation
# The same samples in the same order, turned, stretched, brightened. The class of a pixel must survive: a mirrored
# cell is a cell, a mirrored "L" is none. What is changed moves with its mask, so the outlines still fit. Striped is
# what lies beyond the image: nothing is learnt there.
#
# Why: a hundred images are few. Each change that could have happened in reality is worth another image, and the
# network cannot learn by heart what it never sees twice.

# %%
seglab.datasets.samples(*SETTINGS, "augment=strong")

# %% [markdown]
# ## The split
# Training cases are learnt from, validation cases choose the best epoch, test cases are looked at once, at the end. A
# split is made over groups: two slices of one patient, or two frames of one drive, are nearly the same image, and
# when one is trained on, the other is no test. Your data says what belongs together (`data.group_pattern`).

# %%
import pandas as pd

checked = seglab.datasets.check(*SETTINGS)
groups = {case.id: case.group for case in checked.source.cases}
pd.DataFrame(
    [
        {"split": name, "cases": len(ids), "groups": len({groups[case] for case in ids})}
        for name, ids in ((name, getattr(checked.split, name)) for name in ("train", "val", "test"))
    ]
)

# %% [markdown]
# ## What cannot work is refused
# A word that is misspelt, an input size that the network cannot halve, a class that no training mask holds: all that
# is said in two seconds, with what was found, what is expected and a remedy, and before anything is trained.

# %%
try:
    seglab.datasets.samples(*SETTINGS, "augment=strnog")
except seglab.SeglabError as error:
    print(error)

# %% [markdown]
# ## Try it
# - Show `seglab.datasets.samples(*SETTINGS, "augment=none", "data.size=[32,32]")`. Which objects are lost? (Of
#   volumes, name three sides.)
# - Show `augment=road` and `augment=microscopy`. Which of them turns an image upside down, and for which images is
#   that wrong? [conf/augment/light.yaml](../conf/augment/light.yaml) says what each word means.
#
# Next: [3. Train](03_train.py).
