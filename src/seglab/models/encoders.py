"""Image classifiers of keras.applications as encoders: features at strides 1 to 32, ImageNet weights, frozen start."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from keras import layers, ops

from seglab.errors import ConfigError
from seglab.models.blocks import BATCH_NORM_MOMENTUM
from seglab.models.convnext import BLOCKS, STRIDES, convnext, take_weights
from seglab.models.dilation import DilatedConv2D, DilatedMaxPooling2D
from seglab.models.layers import BatchNormalization

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
# Means of the blue, green and red channels in 0..255, as the networks first trained with Caffe subtract them.
CAFFE_MEAN = np.array([103.939, 116.779, 123.68])


@dataclass(frozen=True)
class Encoder:
    """A classifier and where to tap it.

    Attributes:
        build: the constructor in keras.applications.
        scaling: what its weights were trained with: `caffe` (BGR in 0..255 less the mean), `symmetric` (-1..1),
            `signed` (bytes by 128, less 1) or `standard` (ImageNet's mean and standard deviation removed from 0..1).
        taps: name of the last layer at each stride; the stride is the key.
        stages: pattern of the names of the layers that bring the features to that stride.
        convnext: variant of `seglab.models.convnext`, whose layers stand in the place of the classifier's.
    """

    build: Callable[..., keras.Model]
    scaling: Literal["caffe", "symmetric", "signed", "standard"]
    taps: dict[int, str]
    stages: dict[int, str]
    convnext: str = ""


def _bare(build: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """A constructor whose model does not scale its input: `EncoderInput` does."""

    def built(include_top: bool, weights: str | None, input_shape: Any) -> keras.Model:
        return build(include_top=include_top, weights=weights, input_shape=input_shape, include_preprocessing=False)

    return built


def _convnext(variant: str, build: Callable[..., keras.Model]) -> Encoder:
    last = [f"convnext_{variant}_stage_{stage}_block_{count - 1}_add" for stage, count in enumerate(BLOCKS[variant])]
    return Encoder(_bare(build), "standard", dict(zip(STRIDES, last, strict=True)), {}, variant)


ENCODERS = {
    "vgg16": Encoder(
        keras.applications.VGG16,
        "caffe",
        {
            1: "block1_conv2",
            2: "block2_conv2",
            4: "block3_conv3",
            8: "block4_conv3",
            16: "block5_conv3",
            32: "block5_pool",
        },
        {16: r"block4_pool|block5_conv\d", 32: r"block5_pool"},
    ),
    "resnet50": Encoder(
        keras.applications.ResNet50,
        "caffe",
        {2: "conv1_relu", 4: "conv2_block3_out", 8: "conv3_block4_out", 16: "conv4_block6_out", 32: "conv5_block3_out"},
        {16: r"conv4_.*", 32: r"conv5_.*"},
    ),
    "mobilenetv3": Encoder(
        _bare(keras.applications.MobileNetV3Large),
        "symmetric",
        {
            2: "expanded_conv_add",
            4: "expanded_conv_2_add",
            8: "expanded_conv_5_add",
            16: "expanded_conv_11_add",
            32: "expanded_conv_14_add",
        },
        {16: r"expanded_conv_([6-9]|10|11)_.*", 32: r"expanded_conv_1[2-4]_.*"},
    ),
    "efficientnetv2b0": Encoder(
        _bare(keras.applications.EfficientNetV2B0),
        "standard",
        {2: "block1a_project_activation", 4: "block2b_add", 8: "block3b_add", 16: "block5e_add", 32: "block6h_add"},
        {16: r"block[45]\w_.*", 32: r"block6\w_.*"},
    ),
    "efficientnetv2s": Encoder(
        _bare(keras.applications.EfficientNetV2S),
        "signed",
        {2: "block1b_add", 4: "block2d_add", 8: "block3d_add", 16: "block5i_add", 32: "block6o_add"},
        {16: r"block[45]\w_.*", 32: r"block6\w_.*"},
    ),
    "efficientnetv2m": Encoder(
        _bare(keras.applications.EfficientNetV2M),
        "signed",
        {2: "block1c_add", 4: "block2e_add", 8: "block3e_add", 16: "block5n_add", 32: "block7e_add"},
        {16: r"block[45]\w_.*", 32: r"block[67]\w_.*"},
    ),
    "convnext_tiny": _convnext("tiny", keras.applications.ConvNeXtTiny),
    "convnext_small": _convnext("small", keras.applications.ConvNeXtSmall),
    "convnext_base": _convnext("base", keras.applications.ConvNeXtBase),
}


@keras.saving.register_keras_serializable(package="seglab")
class EncoderInput(layers.Layer):
    """Turns a normalised image `(B, H, W, 1 or 3)` into what a pre-trained encoder was fed, `(B, H, W, 3)` float32.

    A single channel is repeated three times.

    Args:
        normalized: how the image was normalised before it came here (`data.normalize`). `scale`: to 0..1, so that the
            result is exactly that of the encoder's own training. `standard`, `zscore` or `window`: to zero mean and
            unit variance per channel (of the foreground with `window`); the image then gets ImageNet's mean and
            variance, since its own are gone.
        scaling: see `Encoder`.
    """

    def __init__(self, normalized: str, scaling: str, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.normalized = normalized
        self.scaling = scaling

    def call(self, inputs: Any) -> Any:
        x = ops.repeat(inputs, 3, axis=-1) if inputs.shape[-1] == 1 else inputs
        # To 0..1 first, then on to the encoder's range: both affine, so one multiplication and one addition.
        scale, offset = (np.ones(3), np.zeros(3)) if self.normalized == "scale" else (IMAGENET_STD, IMAGENET_MEAN)
        if self.scaling == "caffe":
            x = ops.flip(x, axis=-1)
            scale, offset = scale[::-1] * 255, offset[::-1] * 255 - CAFFE_MEAN
        elif self.scaling == "symmetric":
            scale, offset = scale * 2, offset * 2 - 1
        elif self.scaling == "signed":
            scale, offset = scale * (255 / 128), offset * (255 / 128) - 1
        else:
            scale, offset = scale / IMAGENET_STD, (offset - IMAGENET_MEAN) / IMAGENET_STD
        return x * scale.astype("float32") + offset.astype("float32")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 3)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalized": self.normalized, "scaling": self.scaling}


def encode(
    image: Any, name: str, strides: Sequence[int], weights: str | None, normalized: str, output_stride: int = 32
) -> dict[int, Any]:
    """Features `{stride: (B, H / stride, W / stride, channels)}` of an image `(B, H, W, C)` by a named encoder.

    All of the encoder's layers lie in one nested model with the name `encoder`. Images with neither 1 nor 3 channels
    pass a learnt 1-wide convolution to 3 first.

    Args:
        image: symbolic input.
        name: key of `ENCODERS`.
        strides: which features, of the strides of the encoder's taps.
        weights: `imagenet`, the path of a weights file of the classifier without its top (`.weights.h5`, or `.h5` as
            keras.applications distributes them), or None for random weights.
        normalized: see `EncoderInput`.
        output_stride: from here on, strides are replaced by dilation (Chen et al. 2017,
            https://arxiv.org/abs/1706.05587), so that deeper features keep this resolution.
    """
    encoder = ENCODERS[name]
    x = image
    if x.shape[-1] not in (1, 3):
        x = layers.Conv2D(3, 1, name="to_rgb")(x)
    x = EncoderInput(normalized, encoder.scaling, name="encoder_input")(x)
    whole = _classifier(encoder, name, weights)
    taps = [encoder.taps[stride] for stride in strides]
    model = _tapped(whole, taps, image.shape[1:-1], encoder, output_stride)
    features = model(x)
    return dict(zip(strides, features if isinstance(features, (list, tuple)) else [features], strict=True))


def _classifier(encoder: Encoder, name: str, weights: str | None) -> keras.Model:
    try:
        with warnings.catch_warnings():
            # Keras warns of a file that lacks layers and leaves those as they were; of ImageNet weights, that the size
            # is not 224 x 224, which does not matter to convolutions.
            warnings.simplefilter("ignore" if weights == "imagenet" else "error", UserWarning)
            # Any size: it is set when the model is cut to its taps.
            return encoder.build(include_top=False, weights=weights, input_shape=(None, None, 3))
    except Exception as error:
        # keras raises a bare Exception for a failed download, and many kinds for a file that does not fit.
        if weights is None:
            raise
        if weights == "imagenet":
            raise ConfigError(
                f"the ImageNet weights of {name} could not be fetched ({_first_line(error)})",
                code="encoder-weights-download",
                where="model.weights",
                found=weights,
                expected="a network connection, or the file in ~/.keras/models",
                remedy="run once on a machine with a network and copy ~/.keras/models here; or model.weights=<file>; "
                "or model.weights=null for random weights",
            ) from error
        raise ConfigError(
            f"encoder weights that do not fit {name} ({_first_line(error)})",
            code="encoder-weights-mismatch",
            where="model.weights",
            found=weights,
            expected=f"weights of the keras.applications model for {name}, saved without its top",
            remedy="check model.encoder, and that the file was saved with include_top=False",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _tapped(
    whole: keras.Model, taps: Sequence[str], size: Sequence[int], encoder: Encoder, output_stride: int
) -> keras.Model:
    """The classifier from a `(*size, 3)` image to the named layers, with dilation beyond the output stride.

    Its batch norms get the momentum of the decoder's; published ones go up to 0.999, made for millions of steps.
    """
    if encoder.convnext:
        drawn = convnext(encoder.convnext, size, output_stride)
        take_weights(drawn, whole)
        return keras.Model(drawn.inputs, [drawn.get_layer(tap).output for tap in taps], name="encoder")
    config = whole.get_config()
    config["name"] = "encoder"
    config["layers"][0]["config"]["batch_shape"] = (None, *size, 3)
    config["output_layers"] = [[tap, 0, 0] for tap in taps]
    for layer in config["layers"]:
        for stride, pattern in encoder.stages.items():
            if stride > output_stride and re.fullmatch(pattern, layer["name"]):
                _dilate(layer, stride // output_stride)
        if layer["class_name"] == "BatchNormalization":
            layer["config"]["momentum"] = BATCH_NORM_MOMENTUM
            _replace(layer, BatchNormalization)
    model = keras.Model.from_config(config)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(whole.get_layer(layer.name).get_weights())
    return model


def _replace(layer: dict[str, Any], kind: type[keras.layers.Layer]) -> None:
    """Changes the config of a layer of Keras to that of a faster one of ours, which takes the same arguments."""
    name = keras.saving.get_registered_name(kind)
    layer.update(module=kind.__module__, class_name=kind.__name__, registered_name=name)


def _dilate(layer: dict[str, Any], dilation: int) -> None:
    """Changes the config of a layer of a stage so that the stage has stride 1 and, after its entry, this dilation.

    The layer that had the stride sees the resolution of the stage before, so it keeps that stage's dilation.
    """
    config = layer["config"]
    kind = layer["class_name"]
    if kind == "MaxPooling2D":  # always a stage's entry
        config.update(strides=(1, 1), padding="same")
        if dilation > 2:
            kept = {key: config[key] for key in ("name", "trainable", "dtype", "pool_size")}
            layer["config"] = {**kept, "dilation": (dilation // 2, dilation // 2)}
            _replace(layer, DilatedMaxPooling2D)
    elif kind in ("Conv2D", "DepthwiseConv2D"):
        strided = tuple(config["strides"]) != (1, 1)
        own = dilation // 2 if strided else dilation
        if strided:
            config.update(strides=(1, 1), padding="same")
        if tuple(config["kernel_size"]) != (1, 1):
            config["dilation_rate"] = (own, own)
            if kind == "Conv2D" and own > 1:
                _replace(layer, DilatedConv2D)
    elif kind == "ZeroPadding2D":
        # It made room for the strided convolution after it, which pads itself now.
        config["padding"] = ((0, 0), (0, 0))
