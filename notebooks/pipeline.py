# %% [markdown]
# # The pipeline in five steps
# A notebook in the percent format: Jupyter opens it with jupytext, VS Code and PyCharm as it is.
# It uses the built-in images and takes a minute.

# %% 1. Look at the data
import seglab

report = seglab.datasets.check("data.count=40").report
report.summary()

# %% 2. Train two variants
runs = [
    seglab.train("model=unet_mini", f"loss={loss}", "trainer.epochs=2", "data.count=40") for loss in ("dice", "focal")
]
runs[0].metrics.tail()

# %% 3. Which is better?
comparison = seglab.compare(runs=runs, pictures=0)
comparison.variants

# %% 4. Every score of one
scores = seglab.evaluate(runs[0], split="val")
scores["dice"]

# %% 5. Predict
import numpy as np

image = np.random.default_rng(0).integers(0, 255, (40, 56, 1), np.uint8)
mask = seglab.load(f"runs:/{runs[0].id}").predict(image)
assert mask.shape == image.shape[:2]
