"""Train a segmentation model: python train.py model=unet loss=dice, the same as `seglab train model=unet loss=dice`."""

from seglab.cli.main import former_script

if __name__ == "__main__":
    former_script("train")
