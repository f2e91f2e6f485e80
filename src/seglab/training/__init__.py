"""Fitting a model: callbacks, checkpoint and resume; knows neither MLflow nor Hydra."""
