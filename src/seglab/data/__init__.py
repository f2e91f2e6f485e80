"""From files to batches: cases, sources, splits, preprocessing, augmentation."""
