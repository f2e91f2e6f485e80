"""Every word that a command can be told: groups, their options, the keys of the composed config."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from seglab.config.places import CONF, STUDIES

# Groups whose settings Hydra keeps under another name.
HYDRA_GROUPS = {"launcher.": "hydra.launcher.", "search.": "hydra.sweeper."}
# What `--help` names; of several options that have a setting, these are the usual ones.
OPTION_GROUPS = frozenset({"data", "model", "loss", "optimizer", "schedule", "precision", "augment"}) | {
    *("launcher", "search", "experiment", "debug")
}
_USUAL = ("image_folder", "adamw", "sgd", "tversky", "unet_encoder")


def overrides_in(arguments: Sequence[str]) -> list[str]:
    """The words of a command that are settings: neither flags nor what belongs to one."""
    return list(get_args_parser().parse_known_args(arguments)[0].overrides)


def settings_first(arguments: Sequence[str]) -> list[str]:
    """The words of a command, with its flags and what belongs to them behind the settings: Hydra reads settings in one
    place only, and refuses those on the other side of a flag. As they are where a flag is unknown."""
    known = {flag: action for action in get_args_parser()._actions for flag in action.option_strings}
    settings: list[str] = []
    flags: list[str] = []
    words = [*arguments]
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            settings.append(word)
            continue
        if (action := known.get(word.partition("=")[0])) is None:
            return [*arguments]
        flags.append(word)
        takes = action.nargs != 0 and "=" not in word
        if takes and words and (action.nargs != "?" or words[0] in (action.choices or ())):
            flags.append(words.pop(0))
    return [*settings, *flags]


def own_folder() -> Path | None:
    """The user's folder of yamls, which the running command got with `--config-dir`."""
    for word, after in itertools.pairwise([*sys.argv[1:], ""]):
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            return Path(value if equals else after).absolute()
    return None


def conf_here() -> Path | None:
    """`conf/` of the current folder, which is searched before the package's own; None where it is that, or is none."""
    here = Path.cwd() / "conf"
    return here if here.is_dir() and not here.samefile(CONF) else None


def folders() -> tuple[Path, ...]:
    """Where yamls lie, in the order in which they are looked for: `conf/` of the current folder, the package's own, and
    the folder of `--config-dir`."""
    return tuple(folder for folder in (conf_here(), CONF, own_folder()) if folder is not None)


@cache
def groups() -> frozenset[str]:
    """Every folder of options in `conf/`."""
    return frozenset(str(path.relative_to(CONF)) for path in CONF.rglob("*") if path.is_dir())


def options_of(group: str) -> dict[str, str]:
    """The options of a group, each with the display name that runs are called by, itself where it has none."""
    return _options(group, folders())


@cache
def _options(group: str, folders: tuple[Path, ...]) -> dict[str, str]:
    files = {path.stem: path for folder in reversed(folders) for path in (folder / group).glob("*.yaml")}
    if group == "experiment":
        files |= {path.parent.name: path for path in STUDIES.glob("*/study.yaml")}
    return {name: _display_name(files[name]) or name for name in sorted(files)}


def models_of(rank: int) -> list[str]:
    """The options of `model=` for images (2) or volumes (3)."""
    files = {path.stem: path for folder in reversed(folders()) for path in (folder / "model").glob("*.yaml")}
    of_rank = re.compile(rf"^rank: *{rank}\b", re.MULTILINE)
    return sorted(name for name, file in files.items() if of_rank.search(file.read_text(encoding="utf-8")))


def _display_name(file: Path) -> str:
    found = re.search(r"^name: *([^\s#]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def compose(config_name: str, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """The config that some words make of the yamls in `folders`; raises what Hydra raises."""
    folder = own_folder()  # `conf/` of the current folder is found by Hydra's plug-in
    own = [f"hydra.searchpath=[{quoted_place('file', folder)}]"] if folder is not None else []
    with _hydra_of_our_own(), hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(config_name, overrides=[*overrides, *own], return_hydra_config=with_hydra)


@contextmanager
def _hydra_of_our_own() -> Iterator[None]:
    """Put Hydra's global state aside, which a notebook may have set up for itself, and back."""
    former = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = former


def composed(config_name: str, chosen: list[str]) -> dict[str, Any]:
    """Every dotted key of the config that the chosen groups give, with its value as it is written there."""
    tree = dict(OmegaConf.to_container(compose(config_name, chosen, with_hydra=True), resolve=False))  # type: ignore[arg-type]
    of_hydra = tree.pop("hydra")
    found = _leaves(tree)
    for short, full in HYDRA_GROUPS.items():
        if short[:-1] in groups():
            found |= _leaves({short[:-1]: of_hydra[full.split(".")[1]]})
    return {key: value for key, value in found.items() if not key.endswith("_target_")}


def _leaves(node: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, child in node.items():
        found[f"{prefix}{name}"] = child
        if isinstance(child, dict):
            found |= _leaves(child, f"{prefix}{name}.")
    return found


def setting_as_typed(key: str) -> str:
    """`hydra.launcher.jobs` as users call it: `launcher.jobs`."""
    for short, full in HYDRA_GROUPS.items():
        if key.startswith(full):
            return short + key.removeprefix(full)
    return key


def quoted_place(kind: str, folder: Path) -> str:
    """A place where Hydra looks for yamls, in quotes: `file` for a folder of groups, `studies` for one of studies."""
    text = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{kind}://{text}'"


@cache
def options_with_setting() -> dict[str, list[str]]:
    """By full key, the options in `conf/` of its group that have such a setting, the usual one first."""
    found: dict[str, list[str]] = {}
    for group in OPTION_GROUPS - {"debug", "experiment"}:
        for option in _options(group, (CONF,)):
            text = (CONF / group / f"{option}.yaml").read_text(encoding="utf-8")
            for name in re.findall(r"^(\w+):", text, re.MULTILINE):
                found.setdefault(f"{group}.{name}", []).append(option)
    rank = {name: i for i, name in enumerate(_USUAL)}
    return {key: sorted(options, key=lambda name: rank.get(name, len(rank))) for key, options in found.items()}
