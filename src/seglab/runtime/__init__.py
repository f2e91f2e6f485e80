"""The process and its machine: terminal, memory, seeds, precision, code and environment."""
