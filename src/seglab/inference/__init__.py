"""From a trained bundle to masks: bundle, predictor, tiles."""
