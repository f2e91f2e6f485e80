"""A data set on one page: pictures, classes, sizes, intensities, and what the data check found."""
