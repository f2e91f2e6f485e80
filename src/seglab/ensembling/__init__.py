"""From the folds of a study to one bundle: which configuration, alone or together, and what is done to its masks."""
