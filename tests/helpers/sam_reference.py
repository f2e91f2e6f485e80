"""The reference implementations of SAM and MobileSAM (PyTorch), with weights that are made from their names.

segment-anything is a package; MobileSAM has none: SEGLAB_MOBILE_SAM names a folder with its repository.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache, partial
from typing import Any

import torch
from sam_weights import SMALL, SMALL_MOBILE, random_tensors

from seglab.interactive.sam.sam_variants import VARIANTS, SamVariant, TinyViT

ALL = {
    "small": SMALL,
    "small_mobile": SMALL_MOBILE,
    "mobile_sam": VARIANTS["mobile_sam"],
    "sam_vit_b": VARIANTS["sam_vit_b"],
}


def segment_anything() -> Any:
    """The reference; where torchvision's compiled half is of another PyTorch, its two operators are named only."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("segment_anything")


def parts_of(variant: SamVariant) -> tuple[Any, Any]:
    """The reference's modules, and an encoder of this size."""
    sizes, package = variant.encoder, segment_anything()
    if isinstance(sizes, TinyViT):
        sys.path.append(os.environ.get("SEGLAB_MOBILE_SAM", ""))
        modeling = importlib.import_module("mobile_sam.modeling")
        lists = {
            "embed_dims": sizes.widths,
            "depths": sizes.depths,
            "num_heads": sizes.heads,
            "window_sizes": sizes.windows,
        }
        return modeling, modeling.TinyViT(
            variant.side, num_classes=10, drop_path_rate=0.0, **{k: list(v) for k, v in lists.items()}
        )
    modeling = package.modeling
    return modeling, modeling.ImageEncoderViT(
        img_size=variant.side,
        patch_size=sizes.patch,
        embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.heads,
        out_chans=variant.channels,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=sizes.window,
        global_attn_indexes=sizes.whole,
    )


@cache
def reference(name: str) -> Any:
    """The reference implementation with weights that are made from their names."""
    variant = ALL[name]
    modeling, encoder = parts_of(variant)
    grid = (variant.grid, variant.grid)
    prompts = modeling.PromptEncoder(variant.channels, grid, (variant.side, variant.side), variant.mask_channels)
    transformer = modeling.TwoWayTransformer(variant.depth, variant.channels, variant.heads, variant.hidden)
    decoder = modeling.MaskDecoder(
        transformer_dim=variant.channels, transformer=transformer, iou_head_hidden_dim=variant.channels
    )
    model = modeling.Sam(encoder, prompts, decoder)
    numbers = random_tensors(
        {key: tuple(value.shape) for key, value in model.state_dict().items() if value.is_floating_point()}
    )
    model.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in numbers.items()}, strict=False)
    # Only now: MobileSAM's encoder keeps its attention biases when it is told that training is over.
    return model.eval()
