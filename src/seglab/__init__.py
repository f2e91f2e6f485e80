"""seglab: a laboratory for image segmentation experiments."""
