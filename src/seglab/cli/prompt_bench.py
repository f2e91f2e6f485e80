"""`seglab prompt-bench`: how many clicks a promptable model needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from seglab.cli.words import read, setting, tracking_uri
from seglab.config.types import NonNegativeInt, PositiveInt
from seglab.run_record import ALL, RUNS
from seglab.runtime.waiting import Waiting, step
from seglab.safety.shown_text import shown

if TYPE_CHECKING:
    from seglab.interactive.prompt_bench import BenchSettings
    from seglab.interactive.target_objects import TargetObject

_EXAMPLES = """examples:
  seglab prompt-bench                                             GrabCut on 50 generated objects
  seglab prompt-bench box_first=true guard=false                  a box first, and without the guard
  seglab prompt-bench data=camvid data.root=… classes=[car,pedestrian] objects=100
                                                                  objects of a data set of your own
  seglab compare study=prompts metric=test_noc_90                 two such runs, compared

what is printed and recorded (over the objects, intervals at 95%):
  noc_80 … noc_95    interactions until the IoU reaches 0.80 … 0.95; `clicks` where it never does
  nof_80 … nof_95    objects that never reach it
  iou_1 … iou_20     mean IoU after so many interactions
  seconds            of an answer, without the embedding of the image
  fall_share         of the clicks after the first: after how many the IoU was lower by more than 0.01"""


@dataclass(frozen=True, kw_only=True)
class PromptBenchWords:
    """A robot clicks on objects whose mask is known, each time where the answer is most wrong. The clicks that a model
    needs are counted and recorded as a run. Without data= the objects are generated."""

    data: tuple[str, ...] = setting(
        "data=<name> data.root=… …: labelled images, written as for seglab train", default=(), prefix=True
    )
    split: Literal["train", "val", "test", "all"] = setting("train, val, test, or all cases", default=ALL)
    model: str = setting("grabcut, click_unet, sam_vit_b, sam_vit_l, sam_vit_h or mobile_sam", default="grabcut")
    checkpoint: str | None = setting(
        "file of the model's weights; null: the shipped ones, if there are any", default=None
    )
    precision: str = setting(
        "number format of the encoder of SAM: float32, mixed_bfloat16, mixed_float16 or auto", default="float32"
    )
    clicks: Annotated[int, Field(ge=1, le=200)] = setting("interactions with an object at most", default=20)
    box_first: bool = setting("begin with the object's tight box", default=False)
    guard: bool = setting("let the guard keep what was right", default=True)
    objects: PositiveInt = setting("number of objects, at most two of an image", default=50)
    classes: tuple[str, ...] = setting("only these classes, such as [car]; all by default", default=())
    least_pixels: PositiveInt = setting("least size of an object in pixels", default=64)
    seed: NonNegativeInt = setting("seed of the choice of objects", default=0)
    study: str = setting("the experiment that the run is recorded in", default="prompts")
    tracking_uri: str | None = tracking_uri()


def run(words: Sequence[str]) -> None:
    """Measure, print and record."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    given = read(PromptBenchWords, words, "prompt-bench", _EXAMPLES)
    with step("loading what clicks and measures"):
        from seglab.interactive.prompt_bench import BenchSettings, record, run_robot, summary
        from seglab.interactive.prompt_models import load_model

    name = next((word.partition("=")[2] for word in given.data if word.startswith("data=")), "built-in objects")
    targets, contents = _targets(given)
    model = load_model(given.model, Path(given.checkpoint) if given.checkpoint else None, given.precision)
    settings = BenchSettings(
        model=model.name,
        weights=model.digest,
        data=name,
        clicks=given.clicks,
        box_first=given.box_first,
        guard=given.guard,
        objects=given.objects,
        seed=given.seed,
        least_pixels=given.least_pixels,
        classes=given.classes,
        contents=contents,
    )
    print(shown(f"{model.name} on {model.device}; {_what(settings)}"), flush=True)
    with Waiting() as waiting:
        waiting.tell(f"clicking on the first of {given.objects} objects")
        table = run_robot(
            model, targets, settings, lambda done, _: waiting.tell(f"clicking: {done} of {given.objects} objects")
        )
        waiting.clear()
    for score, (mean, low, high) in summary(table, settings.clicks).items():
        interval = f"   {low:.3f} to {high:.3f}" if low == low else ""
        print(f"  {score:<11} {mean:8.3f}{interval}")
    with step("recording the run"):
        run_id = record(table, settings, given.tracking_uri, given.study, RUNS)
    print(f"{len(table)} objects of {table['image'].nunique()} images; run {run_id} in {given.study}")


def _what(settings: BenchSettings) -> str:
    first = "a box, then clicks" if settings.box_first else "clicks"
    guard = "" if settings.guard else ", without the guard"
    return f"{first}, {settings.clicks} at most, on {settings.data}{guard}"


def _targets(given: PromptBenchWords) -> tuple[Iterator[TargetObject], str]:
    """The objects, and the digest of what they are taken from, empty for generated ones; what cannot be read is refused
    before the model is loaded."""
    from seglab.interactive.target_objects import built_in, objects_of

    if not given.data:
        return built_in(given.objects, given.least_pixels, given.seed), ""
    from seglab.command import composed_config
    from seglab.config.run_config import load_data
    from seglab.data.check.palettes import check_palettes
    from seglab.data.digest import digest_values
    from seglab.errors import ConfigError

    source = load_data(composed_config(given.data)).data.build()
    if source.task.rank != 2:
        raise ConfigError(
            "clicks on volumes are not measured",
            code="value-not-allowed",
            where="data",
            found=f"{source.name}, rank {source.task.rank}",
            expected="a data set of images",
            remedy="choose one of rank 2",
        )
    cases = [case for case in source.cases if case.label is not None or not case.image]
    if given.split != ALL:
        if source.split is None:
            raise ConfigError(
                "a data set without a split of its own",
                code="split-missing",
                where="split",
                found=given.split,
                expected="split=all",
                remedy="remove split=…",
            )
        kept = set(source.split.get(given.split, ()))
        cases = [case for case in cases if case.id in kept]
    check_palettes(source, cases)
    contents = digest_values([str(source.digest()), [case.id for case in cases]])
    return objects_of(source, cases, given.objects, given.least_pixels, given.seed, given.classes), contents
