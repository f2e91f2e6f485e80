"""Masks from clicks and boxes: prompts, the models that answer them, the guard, and the robot user that tests them."""
