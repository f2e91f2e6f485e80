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
# # 3. Train one network
#
# One run: a U-Net, the Dice loss, Adam. Everything about it is recorded: settings, code, data, curves, pictures,
# scores and the model. That is what makes two runs comparable, and one run repeatable.
#
# [Explore](01_explore.py), [prepare](02_prepare.py), **train**, [compare](04_compare.py), [evaluate](05_evaluate.py).

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
# ## Train, once
# `once=True` looks into the store first: where it has a finished run of the same settings, data and code, that run is
# handed over, and nothing is trained. So you may run this cell twice, and the next notebooks find what this one made.

# %%
run = seglab.train(*SETTINGS, "loss=dice", "seed=0", once=True)
run

# %% [markdown]
# ## Did it learn?
# Three things to read in the curves. Both losses should fall. While they fall together the network learns what holds
# for other images too; when the validation loss turns and rises, it learns its training images by heart. The epoch
# that scored best on validation is kept, not the last one.

# %%
from IPython.display import Image, display

Image(run.pictures["curves"], alt="Loss, Dice and IoU over the epochs, for training and validation")

# %%
run.metrics[["train_loss", "val_loss", "val_dice"]].tail()

# %% [markdown]
# ## What does it get right, and what wrong?
# A score is one number; a picture says what it is made of. The best, the median and the worst test case, each with
# its truth, its prediction and its errors. Look at the worst one: is it wrong at the outline, or is an object
# missing?

# %%
pictures = {name: file for name, file in run.pictures.items() if name.startswith("test")}
for name, file in pictures.items():
    display(Image(file, alt=f"{name}: image, truth, prediction and errors"))

# %% [markdown]
# ## Every case
# The mean hides the cases. One row a test case, the worst first.

# %%
run.cases.sort_values("dice").head()

# %% [markdown]
# ## Where is all that?
# In `mlruns/` of this folder: `seglab ui` shows it in a browser. The run is called by its architecture, loss and
# optimizer; its id is what every other verb takes.

# %%
print(run.name, run.id, run.bundle, sep="\n")

# %% [markdown]
# ## Try it
# - Train another with `"optimizer.learning_rate=0.01"`, ten times as high: `seglab.train(*SETTINGS, "loss=dice",
#   "seed=0", "optimizer.learning_rate=0.01", once=True)`. What do its curves do?
# - Train with `"data.limit_cases=10"`. When does the validation loss turn?
# - What would `seed=1` change? Notebook 4 needs the answer.
#
# Next: [4. Compare](04_compare.py).
