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
# # 1. Look at the data
#
# A network learns whatever the data say, mistakes included. So look first: what is in the images, how rare are the
# classes, and is anything wrong with the files?
#
# The five notebooks are one pipeline: **explore**, [prepare](02_prepare.py), [train](03_train.py),
# [compare](04_compare.py), [evaluate](05_evaluate.py). They share the store of runs, `mlruns/` in the folder that
# they are opened in. Each also works alone: what it needs of the others it makes, and says so.

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
# ## Is anything wrong?
# The check reads every file: images without a mask, masks with values that no class has, sizes that differ, an image
# that is in two splits. In a real project this finds something in nearly every data set.

# %%
checked = seglab.datasets.check(*SETTINGS)
checked.report.summary()

# %% [markdown]
# ## What is there?
# One page with images and their masks, the classes and their shares, sizes and intensities. It is a file of its own,
# which you can send to a colleague; here it is shown in a frame.

# %%
from html import escape

from IPython.display import HTML

page = seglab.datasets.explore(*SETTINGS)
frame = escape(page.read_text(encoding="utf-8"))
HTML(f'<div><iframe title="the data set" srcdoc="{frame}" width="100%" height="700"></iframe></div>')

# %% [markdown]
# ## How rare is what we look for?
# The share of the foreground decides a lot. Where 3% of an image are foreground, a network that answers "background"
# everywhere is right for 97% of the pixels, and useless. That is why accuracy is not the score here, and why some
# losses work better than others.
#
# The picture shows the share in each case, by split. The three should look alike: a test split that is easier than
# the training split tells nothing.

# %%
import matplotlib.pyplot as plt

scored = checked.source.task.scored
figure, axes = plt.subplots(figsize=(8, 3))
for place, split in enumerate(("train", "val", "test")):
    shares = [checked.facts[case].share_of(scored) for case in getattr(checked.split, split)]
    axes.plot(shares, [place] * len(shares), "|", markersize=22, markeredgewidth=1.5)
axes.set_yticks(range(3), ["training", "validation", "test"])
axes.set_ylim(2.5, -0.5)
axes.set_xlabel("share of the foreground in a case, one stroke each")
plt.show()

# %% [markdown]
# ## Try it
# - In the cell of settings, add `"data.foreground=[0.01,0.03]"` to `BUILT_IN` and run all again. Which pictures
#   change? Which loss would you expect to suffer (notebook 4 tells)?
# - Add `"data.classes=3"`. What tells class 2 from class 1?
#
# Next: [2. Prepare](02_prepare.py).
