"""A model behind HTTP: images in, masks out. Serving an exported folder loads no TensorFlow, Keras, MLflow or Hydra."""
