"""A run from its config to its record: begin, resume, reproduce."""
