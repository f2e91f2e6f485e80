"""Arrays in, numbers out: counts, surfaces, components, calibration, Cityscapes."""
