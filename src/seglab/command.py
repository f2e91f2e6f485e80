"""How a command starts: Hydra composes, mistakes become one message and exit code 2, an interruption its own code."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.config.explanation import explain, refuse_at_once
from seglab.config.former_names import current_setting
from seglab.config.overrides import texts_kept
from seglab.config.places import CONF
from seglab.config.run_config import DataSettings, load_config, load_data
from seglab.config.sections import Section
from seglab.config.vocabulary import HYDRA_GROUPS, compose, groups, overrides_in, settings_first
from seglab.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, ConfigError, SeglabError, cut
from seglab.gc_pause import rest_at_exit
from seglab.safety.shown_text import shown

# How a sweep tells a process which job it is: JSON with `tags` and, on the same machine, the pid of the `launcher`.
JOB_VARIABLE = "SEGLAB_JOB"
EXIT_FAILED_JOBS = 1
_PR_SET_PDEATHSIG = 1


class SweepFailed(Exception):
    """Jobs of a sweep that did not finish; the message names them."""


def command(
    config_name: str, settings: type[Section] | None = None
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a function of the composed config a command line entry point.

    A user's mistake prints one message and leaves with code 2; Ctrl-C leaves with 130, and an exception that carries
    an `exit_code` (SIGTERM: 143) with that. Anything else is our own mistake and shows its traceback.

    Args:
        config_name: which yaml in `conf/` is composed.
        settings: what may stand in the config, where that is not a run's.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def job(cfg: DictConfig) -> Any:
            try:
                return task(cfg)
            except SeglabError as error:  # Hydra would print words of its own before it
                _leave(error)
            except (HydraException, OmegaConfBaseException) as error:
                _leave(explain(error, config_name, overrides_in(sys.argv[1:])))

        composed = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)

        @functools.wraps(task)
        def entry() -> None:
            if "--version" in sys.argv[1:]:
                print(f"seglab {version('seglab')} (Hydra {hydra.__version__})")
                return
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's short form would swallow the exception that we translate
            rest_at_exit()
            _end_with_launcher()
            sys.argv[1:] = settings_first(sys.argv[1:])
            try:
                refuse_at_once(sys.argv[1:], config_name)
                _say_repeated(sys.argv[1:])
                sys.argv[1:] = kept([_in_hydra(word) for word in sys.argv[1:]], config_name, settings)
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
                    _leave(
                        ConfigError(
                            what,
                            code="flags-exclude",
                            where="command line",
                            found=found,
                            expected=str(error),
                            remedy=remedy,
                        )
                    )
                # Hydra refuses `model=null` with a plain ValueError; any other is not about the words of the command.
                of_hydra = isinstance(error, HydraException | OmegaConfBaseException)
                if not of_hydra and not str(error).startswith("Config group override must be"):
                    raise
                _leave(explain(error, config_name, overrides_in(sys.argv[1:])))
            except KeyboardInterrupt as stop:
                sys.exit(getattr(stop, "exit_code", EXIT_INTERRUPTED))

        return entry

    return decorate


def composed_config(
    words: Sequence[str], config_name: str = "train", settings: type[Section] | None = None
) -> DictConfig:
    """The config that the words of a command make, for code that calls instead of a command line.

    Args:
        words: `group=option` and `key=value`; no flags.
        config_name: which yaml in `conf/` is composed.
        settings: what may stand in the config, where that is not a run's.

    Raises:
        ConfigError: words that no command would take either.
    """
    flag = next((word for word in words if word.startswith("-")), None)
    if flag is not None:
        raise ConfigError(
            "a flag where settings are wanted",
            code="unknown-flag",
            where="words",
            found=flag,
            expected='settings such as "model=unet"',
            remedy="call it once for each combination; sweeps and --cfg are for the command line: seglab train --help",
        )
    refuse_at_once(words, config_name)
    overrides = kept([_in_hydra(word) for word in words], config_name, settings)
    try:
        return compose(config_name, overrides)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise explain(error, config_name, overrides) from error


def kept(words: Sequence[str], config_name: str, settings: type[Section] | None = None) -> list[str]:
    """The words with texts that Hydra would take for numbers or not at all in quotes; see `seglab.config.overrides`."""
    chosen = [word for word in words if word.partition("=")[0] in groups() and "," not in word]

    def composed() -> Mapping[str, Any]:
        try:
            return dict(compose(config_name, chosen))
        except (HydraException, OmegaConfBaseException, ValueError):  # told when the whole is composed
            return {}

    return texts_kept(words, composed, settings)


def _leave(error: SeglabError) -> None:
    print(error.for_terminal(), file=sys.stderr)
    sys.exit(EXIT_MISTAKE)


def task_overrides() -> list[str]:
    """The words on the command line of the running command, without Hydra's own settings, and as they were said: what
    `${…}` refers to stands in the run's config, not in Hydra's."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    words: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return list(words)


def data_settings_of(cfg: DictConfig) -> DataSettings:
    """What a verb that looks at data takes: with a model that was asked for, by its name or with an experiment, the
    whole config of its training, checked; without one what concerns the data alone.

    Raises:
        ConfigError: the first thing that cannot work.
    """
    return config_of_data(cfg, task_overrides())


def config_of_data(cfg: DictConfig, words: Sequence[str]) -> DataSettings:
    """`data_settings_of`, for words that do not come from the command line."""
    keys = {word.lstrip("+~").partition("=")[0] for word in words}
    asked = any(key in ("model", "experiment") or key.startswith("model.") for key in keys)
    return load_config(cfg) if asked else load_data(cfg)


def sweep_tags() -> dict[str, str]:
    """Which sweep this process is a job of, as tags for its run; empty outside of a sweep."""
    return dict(json.loads(os.environ[JOB_VARIABLE])["tags"]) if JOB_VARIABLE in os.environ else {}


def _say_repeated(words: Sequence[str]) -> None:
    """Say which of two values of one key counts: the last, as Hydra has it."""
    values: dict[str, str] = {}
    for word in overrides_in(words):
        key, _, value = word.partition("=")
        if key in values and values[key] != value:
            print(f"note: {shown(key)} is given twice; the last one counts: {shown(cut(word))}", file=sys.stderr)
        values[key] = value


def _in_hydra(word: str) -> str:
    """`launcher.jobs=2` as Hydra calls it: `hydra.launcher.jobs=2`."""
    key = word.lstrip("+~")
    name, equals, value = key.partition("=")
    key_now = current_setting(name) + equals + value
    word, key = word[: len(word) - len(key)] + key_now, key_now
    for short, full in HYDRA_GROUPS.items():
        if key.startswith(short):
            return word[: len(word) - len(key)] + full + key.removeprefix(short)
    return word


def _end_with_launcher() -> None:
    """A job gets SIGTERM when the launcher that started it dies, however that happens."""
    launcher = json.loads(os.environ.get(JOB_VARIABLE, "{}")).get("launcher")
    if launcher is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != launcher:  # it died before this process could ask
        sys.exit(128 + signal.SIGTERM)
