"""Architectures: blocks, heads, 2D and 3D networks that return logits."""
