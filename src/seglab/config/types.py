"""Types for settings that carry their range; used to annotate every constructor that a config can name.

`seglab.config.run_config` reads these annotations from the source text, without importing the module (which would load
TensorFlow), and checks the given values with pydantic before anything is allocated.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]
PositiveDecayRate = Annotated[float, Field(gt=0, lt=1)]
# Of a random stream: NumPy's and scikit-learn's take 32 bits.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
# A text that says something; what stores call things by has room for 250 letters.
Text = Annotated[str, Field(min_length=1)]
Title = Annotated[str, Field(min_length=1, max_length=250)]
# Of processes beside one another, on one machine.
Processes = Annotated[int, Field(ge=0, le=256)]
# How far a change of an image goes; beyond, nothing of the image is left.
Strength = Annotated[float, Field(ge=0, le=100)]
# A file or folder. What lies there can change a result, and not where: identities leave it out.
Place = Annotated[str, "place"]
# Image classifiers that networks take as their encoder; `seglab.models.encoders` says what they are.
EncoderName = Literal[
    "vgg16",
    "resnet50",
    "mobilenetv3",
    "efficientnetv2b0",
    "efficientnetv2s",
    "efficientnetv2m",
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
]
