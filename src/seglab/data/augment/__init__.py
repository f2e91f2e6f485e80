"""Random changes of training samples. What is drawn depends on the generator that is given, and on nothing else.

One order for images and volumes: mirror images and quarter turns (exact), one warp (images: affine, elastic and grid by
albumentations; volumes: all in one resampling, in mm), intensity, dropout. A mask moves with its image by nearest
neighbour, and where the image is left, it holds the label to ignore.
"""

from seglab.data.augment.pipeline import Augment, Augmentation, none

__all__ = ["Augment", "Augmentation", "none"]
