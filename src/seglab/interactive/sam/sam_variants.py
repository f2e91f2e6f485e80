"""The networks that there are: their sizes, and the files that their authors publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ViT:
    """The plain transformer of SAM (ViTDet, Li et al. 2022, https://arxiv.org/abs/2203.16527).

    Attributes:
        width: channels of a token.
        depth: blocks.
        heads: of each attention.
        whole: blocks whose attention sees the whole image; the others see windows.
        window: tokens along a side of a window.
        patch: pixels along a side of a token.
    """

    width: int
    depth: int
    heads: int
    whole: tuple[int, ...]
    window: int = 14
    patch: int = 16


@dataclass(frozen=True)
class TinyViT:
    """The small transformer of MobileSAM (Wu et al. 2022, https://arxiv.org/abs/2207.10666); four stages.

    Attributes:
        widths: channels of each stage; the first one is of convolutions.
        depths: blocks of each stage.
        heads: of each attention; that of the first stage is not used.
        windows: tokens along a side of a window.
    """

    widths: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    heads: tuple[int, int, int, int] = (2, 4, 5, 10)
    windows: tuple[int, int, int, int] = (7, 7, 14, 7)


@dataclass(frozen=True)
class SamVariant:
    """One network: its encoder, the sizes of what follows, and where its weights are published.

    Attributes:
        encoder: how an image becomes an embedding.
        file, megabytes, page: the published weights.
        side: pixels of the square that the encoder sees.
        channels: of the embedding and of every token of the decoder.
        mask_channels: of the small network that reads a mask prompt.
        depth, heads, hidden: of the decoder's transformer.
    """

    encoder: ViT | TinyViT
    file: str = ""
    megabytes: float = 0
    page: str = ""
    side: int = 1024
    channels: int = 256
    mask_channels: int = 16
    depth: int = 2
    heads: int = 8
    hidden: int = 2048

    @property
    def grid(self) -> int:
        """Cells along a side of the embedding."""
        return self.side // 16

    @property
    def mask_side(self) -> int:
        """Pixels along a side of the masks that the decoder takes and gives."""
        return 4 * self.grid


_SAM = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
_MOBILE = "https://github.com/ChaoningZhang/MobileSAM/tree/master/weights"
VARIANTS: Mapping[str, SamVariant] = {
    "sam_vit_b": SamVariant(ViT(768, 12, 12, (2, 5, 8, 11)), "sam_vit_b_01ec64.pth", 375, _SAM),
    "sam_vit_l": SamVariant(ViT(1024, 24, 16, (5, 11, 17, 23)), "sam_vit_l_0b3195.pth", 1250, _SAM),
    "sam_vit_h": SamVariant(ViT(1280, 32, 16, (7, 15, 23, 31)), "sam_vit_h_4b8939.pth", 2565, _SAM),
    "mobile_sam": SamVariant(TinyViT(), "mobile_sam.pt", 40.7, _MOBILE),
}
