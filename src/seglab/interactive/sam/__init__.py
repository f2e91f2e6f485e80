"""Segment Anything and MobileSAM in Keras, read from the files that their authors publish, without PyTorch.

Kirillov et al. 2023, Segment Anything, https://arxiv.org/abs/2304.02643; Zhang et al. 2023, Faster Segment Anything:
Towards Lightweight SAM for Mobile Applications, https://arxiv.org/abs/2306.14289.
"""
