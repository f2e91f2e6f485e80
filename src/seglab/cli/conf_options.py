"""Groups, options and settings of the yamls in `conf/`, found by their names and first columns: Hydra is not loaded."""

from __future__ import annotations

import re
from pathlib import Path

from seglab.config.places import CONF

# In the order of the list in `--help`; `hydra`, `gate` and what a run cannot choose are left out.
GROUPS: tuple[str, ...] = ("data", "model", "loss", "optimizer", "schedule", "augment", "precision")
GROUPS += ("experiment", "debug", "launcher", "search")


def folders() -> list[Path]:
    """`conf/` of the current folder, if there is one, and the package's own."""
    here = Path.cwd() / "conf"
    return [here, CONF] if here.is_dir() and not here.samefile(CONF) else [CONF]


def options(group: str) -> list[str]:
    """The names that may stand behind `group=`."""
    names = {file.stem for folder in folders() for file in (folder / group).glob("*.yaml")}
    if group == "experiment":
        studies = {CONF.parent / "experiments", Path.cwd() / "experiments"}
        names |= {file.parent.name for folder in studies for file in folder.glob("*/study.yaml")}
    return sorted(names)


def settings() -> list[str]:
    """Every dotted key that a run may be given, whichever options it has chosen."""
    root = _text("train.yaml").partition("\nhydra:")[0].partition("\ndefaults:")[2]
    found = {name for name in re.findall(r"^(\w+):", root, re.MULTILINE) if name not in ("data", "defaults")}
    data = re.search(r"^data:.*\n((?:  .*\n|\n)+)", root, re.MULTILINE)
    found |= {f"data.{name}" for name in re.findall(r"^  (\w+):", data[1] if data else "", re.MULTILINE)}
    for folder in folders():
        for group in (*GROUPS, "trainer", "tracking"):
            for file in [] if group in ("experiment", "debug") else (folder / group).glob("*.yaml"):
                keys = re.findall(r"^(\w+):", file.read_text(encoding="utf-8"), re.MULTILINE)
                found |= {f"{group}.{key}" for key in keys if not key.startswith("_") and key != "defaults"}
    return sorted(found)


def train_page() -> str:
    """What `seglab train --help` says."""
    width = max(map(len, GROUPS))
    lines = [f"  {group:<{width}}  {', '.join(options(group))}" for group in GROUPS]
    return "\n".join([_TRAIN, *lines, "", _TRAIN_END])


def page_of(about: str) -> str:
    """What `--help` says of another verb on the settings of a run.

    Args:
        about: what the verb does.
    """
    return f"{about.strip()}\n\nEvery setting is that of a run: seglab train --help, --cfg job"


def compare_page() -> str:
    """What `seglab compare --help` says: the settings with their comments, as `conf/compare.yaml` has them."""
    return "\n".join([_COMPARE, *(f"  {row}".rstrip() for row in _compare_rows())])


def compare_settings() -> list[str]:
    """The keys of a comparison."""
    return re.findall(r"^([\w.]+)=", "\n".join(_compare_rows()), re.MULTILINE)


def _compare_rows() -> list[str]:
    text = _text("compare.yaml").partition("\nhydra:")[0]
    rows = text[text.index("\nstudy:") :].strip("\n").replace("tracking:\n  uri: null         ", "tracking.uri: null")
    return re.sub(r"^([\w.]+): ", r"\1=", rows, flags=re.MULTILINE).splitlines()


def _text(name: str) -> str:
    return next((folder / name).read_text(encoding="utf-8") for folder in folders() if (folder / name).is_file())


_TRAIN = """seglab train [group=option …] [key=value …]

Train a segmentation model, record the run in MLflow and score it on the test split.

  seglab train model=unet loss=dice                          train in 2D on the built-in images
  seglab train model=conv3d data=synthetic3d                 train in 3D on the built-in volumes
  seglab train -m model=unet,unet_mini loss=dice,combined    every combination, one run each
  seglab train resume=<run id>                               go on with a run that was cut off
  seglab train debug=overfit                                 can this variant memorise four cases?

groups and their options (group=option):"""
_TRAIN_END = """group=option chooses a file of conf/<group>/, of the current folder or of seglab; key=value changes one
setting, such as trainer.epochs=10. Flags: -m runs every combination, --config-dir <folder> adds yamls of yours.
Show the whole configuration without running it:  seglab train --cfg job
Show the runs afterwards:                         seglab ui"""
_COMPARE = """seglab compare [key=value …]

Compare runs with paired statistics over the same cases: print the answer, write a page that needs no network.

  seglab compare                                        every run in mlruns/
  seglab compare study=loss_study metric=test_dice      the runs of a study
  seglab compare runs=[<id>,<id>] pictures=4            these runs, with four cases they disagree about
  seglab compare filter="params.loss.name = 'DiceLoss'" the runs that an MLflow filter selects

settings (key=value) and their defaults:"""
