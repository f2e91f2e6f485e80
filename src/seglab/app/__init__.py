"""The pages: what a model makes of images, several models side by side, prompts, runs, and models that are watched."""
