"""The canvas for prompts: JavaScript of our own that two pages show, and the routes it comes from."""
