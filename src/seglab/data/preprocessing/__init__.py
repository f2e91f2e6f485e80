"""From a file's array to what a network is given: spacing, size, intensities."""
