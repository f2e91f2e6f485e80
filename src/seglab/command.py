"""How a command starts: Hydra composes, mistakes become one message and exit code 2, an interruption its own code."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, ConfigError, SeglabError, nearest
from seglab.overrides import texts_kept
from seglab.schema import Section

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
STUDIES = ROOT / "experiments"
# How a sweep tells a process which job it is: JSON with `tags` and, on the same machine, the pid of the `launcher`.
JOB_VARIABLE = "SEGLAB_JOB"
EXIT_FAILED_JOBS = 1
# Groups whose settings Hydra keeps under another name.
_HYDRA_GROUPS = {"launcher.": "hydra.launcher.", "search.": "hydra.sweeper."}
_PR_SET_PDEATHSIG = 1


class SweepFailed(Exception):
    """Jobs of a sweep that did not finish; the message names them."""


def command(
    config_name: str, about: str | None = None, settings: type[Section] | None = None
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a function of the composed config a command line entry point.

    A user's mistake prints one message and leaves with code 2; Ctrl-C leaves with 130, and an exception that carries
    an `exit_code` (SIGTERM: 143) with that. Anything else is our own mistake and shows its traceback.

    Args:
        config_name: which yaml in `conf/` is composed.
        settings: what may stand in the config, where that is not a run's.
        about: what `--help` says instead of the config's own page, for another verb on the words of `train.py`.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def job(cfg: DictConfig) -> Any:
            try:
                return task(cfg)
            except SeglabError as error:  # Hydra would print words of its own before it
                _leave(error)

        composed = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)

        @functools.wraps(task)
        def entry() -> None:
            if about is not None and {"-h", "--help"} & set(sys.argv[1:]):
                print(f"{about.strip()}\n\nEvery setting is that of a run: python train.py --help, --cfg job")
                return
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's short form would swallow the exception that we translate
            _end_with_launcher()
            sys.argv[1:] = kept([_in_hydra(word) for word in sys.argv[1:]], config_name, settings)
            try:
                composed()
            except SeglabError as error:
                _leave(error)
            except SweepFailed as error:
                print(f"error: {error}", file=sys.stderr)
                sys.exit(EXIT_FAILED_JOBS)
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                flags = [word for word in sys.argv[1:] if word.startswith("-")]
                if str(error).startswith("Only one of --run"):
                    what, remedy = "flags that exclude each other", "without -m, --cfg shows one composition"
                    found = " ".join(flags)
                    _leave(ConfigError(what, where="command line", found=found, expected=str(error), remedy=remedy))
                # Hydra refuses `model=null` with a plain ValueError; any other is not about the words of the command.
                of_hydra = isinstance(error, HydraException | OmegaConfBaseException)
                if not of_hydra and not str(error).startswith("Config group override must be"):
                    raise
                _leave(explain(error, config_name, [word for word in sys.argv[1:] if word not in flags]))
            except KeyboardInterrupt as stop:
                sys.exit(getattr(stop, "exit_code", EXIT_INTERRUPTED))

        return entry

    return decorate


def kept(words: Sequence[str], config_name: str, settings: type[Section] | None = None) -> list[str]:
    """The words with texts that Hydra would take for numbers or not at all in quotes; see `seglab.overrides`."""
    groups = {str(path.relative_to(CONF)) for path in CONF.rglob("*") if path.is_dir()}
    chosen = [word for word in words if word.partition("=")[0] in groups and "," not in word]

    def composed() -> Mapping[str, Any]:
        try:
            with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
                return dict(hydra.compose(config_name, overrides=chosen))
        except (HydraException, OmegaConfBaseException, ValueError):  # told when the whole is composed
            return {}

    return texts_kept(words, composed, settings)


def _leave(error: SeglabError) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(EXIT_MISTAKE)


def task_overrides() -> list[str]:
    """What the user said on the command line of the running command, without Hydra's own settings."""
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def sweep_tags() -> dict[str, str]:
    """Which sweep this process is a job of, as tags for its run; empty outside of a sweep."""
    return dict(json.loads(os.environ[JOB_VARIABLE])["tags"]) if JOB_VARIABLE in os.environ else {}


def _in_hydra(word: str) -> str:
    """`launcher.jobs=2` as Hydra calls it: `hydra.launcher.jobs=2`."""
    key = word.lstrip("+~")
    for short, full in _HYDRA_GROUPS.items():
        if key.startswith(short):
            return word[: len(word) - len(key)] + full + key.removeprefix(short)
    return word


def _end_with_launcher() -> None:
    """A job is told to stop (SIGTERM) when the launcher that started it dies, however that happens."""
    launcher = json.loads(os.environ.get(JOB_VARIABLE, "{}")).get("launcher")
    if launcher is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != launcher:  # it died before this process could ask
        sys.exit(128 + signal.SIGTERM)


def explain(error: Exception, config_name: str, words: list[str]) -> ConfigError:
    """Say which override Hydra stumbled over, what is allowed in its place and the nearest match."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = []
    for word in words:
        try:
            overrides.append(OverridesParser.create().parse_override(word))
        except HydraException:
            return ConfigError(
                "a word on the command line that cannot be read",
                where=word,
                expected="key=value, with lists as [1,2] and special characters in quotes",
                remedy="quote the value: \"key='a value'\"",
            )
    groups = {str(path.relative_to(CONF)) for path in CONF.rglob("*") if path.is_dir()}
    chosen = []
    for override in overrides:
        if override.key_or_group not in groups:
            continue
        options = _options(override.key_or_group)
        values = list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.value()]
        for value in values:
            if str(value) not in options:
                return ConfigError(
                    f"unknown choice for {override.key_or_group}",
                    where=override.key_or_group,
                    found="null" if value is None else value,
                    expected="one of " + ", ".join(options),
                    remedy=_other_choice(override.key_or_group, value, options),
                )
        chosen.append(f"{override.key_or_group}={values[0]}")
    known = _known_keys(config_name, chosen)
    for override in overrides:
        key = override.key_or_group
        if key in groups or key.startswith("hydra") or key in known:
            continue
        return _unknown_key(key, known, groups)
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ConfigError(
        "the configuration cannot be composed",
        where=f"conf/{config_name}.yaml",
        found=first,
        expected="yaml files and words that Hydra can join",
        remedy="leave the words of the command away one by one; the whole config is shown by --cfg job",
    )


def _other_choice(group: str, value: Any, options: list[str]) -> str:
    if value is None:
        return "choose one, or leave it away for the default"
    return nearest(str(value), options) or f"choose one, or add conf/{group}/{value}.yaml"


def _options(group: str) -> list[str]:
    studies = STUDIES.glob("*/study.yaml") if group == "experiment" else ()
    return sorted([*(path.stem for path in (CONF / group).glob("*.yaml")), *(path.parent.name for path in studies)])


def _known_keys(config_name: str, chosen: list[str]) -> list[str]:
    """Every dotted key of the config that the chosen groups give."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        composed = OmegaConf.to_container(hydra.compose(config_name, overrides=chosen), resolve=False)
    keys: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, dict):
            for name, child in node.items():
                keys.append(f"{prefix}{name}")
                walk(child, f"{prefix}{name}.")

    walk(composed, "")
    return keys


def _unknown_key(key: str, known: list[str], groups: set[str]) -> ConfigError:
    parent, _, leaf = key.rpartition(".")
    siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == parent]
    elsewhere = [name for name in known if name.rpartition(".")[2] == leaf]
    candidates = siblings if parent else sorted({*siblings, *groups})
    if not candidates:
        candidates = sorted(groups)
        leaf = key.partition(".")[0]
    remedy = nearest(leaf, candidates)
    if not remedy and elsewhere:
        remedy = f"did you mean '{elsewhere[0]}'?"
    return ConfigError(
        f"unknown setting '{key}': nothing reads it",
        where=key,
        found=leaf,
        expected="one of " + ", ".join(sorted(candidates)),
        remedy=remedy or "see every setting with: python train.py --cfg job",
    )
