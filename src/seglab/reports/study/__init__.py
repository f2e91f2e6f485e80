"""A study's README and technical note."""
