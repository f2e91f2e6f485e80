"""Pages that people read: the comparison, a data set, a study."""
