"""Objects, clicks and boxes: what a promptable network is trained on, and how a prompt becomes its input."""
