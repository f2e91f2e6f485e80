"""Time to a given Dice of seglab, MONAI and nnU-Net on the same cores: `make bench-quality`."""
