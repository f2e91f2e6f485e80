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
# # 4. Compare: which is better, and is it more than luck?
#
# Train the same network twice with another seed, and the scores differ. A difference between two losses means
# something only when it is larger than that. So each variant is trained with three seeds, and the variants are
# compared on the same test cases.
#
# [Explore](01_explore.py), [prepare](02_prepare.py), [train](03_train.py), **compare**, [evaluate](05_evaluate.py).

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
# ## Two losses, three seeds
# Six runs. The one of notebook 3 is found in the store; what is not there is trained now, and said to be.
# `data.split_seed=0` in the settings keeps the split the same while the seed changes: only then are the scores of the
# same cases.

# %%
runs = [
    seglab.train(*SETTINGS, f"loss={loss}", f"seed={seed}", once=True)
    for loss in ("dice", "focal")
    for seed in (0, 1, 2)
]

# %% [markdown]
# ## The answer
# *Best* is the highest mean. *Tied* is what is not shown to be worse than it, *worse* what is. A study of six small
# runs often ends with a tie: that is an answer too. It says that more seeds or more test cases are needed before one
# of them is called better.

# %%
comparison = seglab.compare(runs=runs, pictures=2)
print(*comparison.answers, sep="\n")

# %%
comparison.variants.dropna(axis=1, how="all").T

# %% [markdown]
# ## The cases behind it
# Each point is a test case. Where the boxes overlap widely, ask whether it is one hard case that decides.

# %%
comparison.pictures["cases"]

# %% [markdown]
# The curves are the mean over the seeds, the band reaches from the lowest to the highest seed. Bands that lie over
# each other are what a tie looks like.

# %%
comparison.pictures["curves"]

# %% [markdown]
# ## Where they disagree
# The cases on which the two differ most: here you see *what* one of them does better.

# %%
comparison.pictures["pictures"]

# %% [markdown]
# ## Try it
# - How large is the difference between two seeds of one loss? `comparison.runs` has the score of each run. Compare it
#   with the difference between the losses.
# - Add `"cross_entropy"` to the losses and run the cell again: three runs are trained, six are found. With three
#   variants there are three pairs; what happens to the intervals?
# - Take one seed only. What does the comparison say then, and why?
#
# How the verdict is made, and how often it is wrong: [docs/statistics.md](../docs/statistics.md).
#
# Next: [5. Evaluate](05_evaluate.py).
