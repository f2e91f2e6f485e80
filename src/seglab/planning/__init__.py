"""From a data set and a budget to a study: the fingerprint, the rules, the forecast, and the files."""
