"""Words that a config does not know, options and keys, and the words to write instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from seglab.config.refusals import as_list, written
from seglab.config.run_config import COMPONENTS
from seglab.config.synonyms import closest, group_meant, option_meant, setting_meant
from seglab.config.targets import parameters_of
from seglab.config.vocabulary import OPTION_GROUPS, options_of, options_with_setting
from seglab.errors import ConfigError

# Settings that are lists, also where they are null or of a group that was not chosen.
LISTS = (".size", ".spacing", ".axes", ".class_names", ".label_values", ".class_weights", ".label_colors")
SEE_ALL = "see every setting with: seglab train --cfg job"


def meant_words(words: str) -> str:
    """What was meant, as a remedy says it."""
    return words if words.startswith(("there is no", "a run takes")) else f"did you mean: {words}"


def unknown_option(group: str, value: Any, options: Mapping[str, str]) -> ConfigError:
    """Of a word that is no option of its group."""
    if value is None:
        remedy = "choose one, or leave it out for the default"
    elif group == "data" and "/" in str(value) and not str(value).endswith(".yaml"):  # the folder of the files
        root = f"data.root={shlex.quote(str(value))}"
        remedy = f"did you mean: data=image_folder {root}; of volumes: data=nifti {root}"
    else:
        meant = option_meant(group, value, options)
        own = f", or add conf/{group}/{value}.yaml" if re.fullmatch(r"\w[\w-]*", str(value)) else ""
        remedy = meant_words(meant) if meant else f"choose one{own}"
    return ConfigError(
        f"unknown choice for {group}",
        code="unknown-choice",
        where=group,
        found="null" if value is None else value,
        expected="one of " + ", ".join(options),
        remedy=remedy,
    )


def unknown_key(key: str, text: str, known: Mapping[str, Any], targets: Mapping[str, str]) -> ConfigError:
    """Of a key that the config has not got.

    Args:
        targets: what was said for `<group>._target_`, by that key.
    """
    parent, _, leaf = key.rpartition(".")
    allowed = {name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == parent}
    allowed |= set() if parent else groups_of(known)
    expected = "one of " + ", ".join(sorted(allowed or {name.partition(".")[0] for name in known}))
    elsewhere = options_with_setting().get(key, ())
    further = _further_arguments(parent, known, targets)
    if meant := leaf if leaf in further else closest(leaf, further, 0.8):
        return ConfigError(
            "an argument that the yaml does not name, without a plus",
            code="setting-without-plus",
            where=key,
            found=f"{key}={text}",
            expected="one of "
            + ", ".join(sorted(allowed - {"_target_"}))
            + "; with a plus before it "
            + ", ".join(sorted(further)),
            remedy=f"write +{parent}.{meant}={text}",
        )
    return ConfigError(
        f"unknown setting '{key}': nothing reads it",
        code="unknown-setting",
        where=key,
        found=leaf,
        expected=expected + (f"; {leaf} is one of {parent}={', '.join(elsewhere)}" if elsewhere else ""),
        remedy=instead(key, text, known) or (SEE_ALL if groups_of(known) else "leave it out"),
    )


def _further_arguments(group: str, known: Mapping[str, Any], targets: Mapping[str, str]) -> Mapping[str, Any]:
    """What the chosen part of a group takes beside what its yaml names."""
    section = known.get(group)
    where = f"{group}._target_"
    target = targets.get(where) or (section.get("_target_") if isinstance(section, Mapping) else None)
    if group not in COMPONENTS or target is None:
        return {}
    try:
        taken = parameters_of(str(target), where)
    except ConfigError:  # told when the config is checked
        return {}
    return {name: taken[name] for name in taken if f"{group}.{name}" not in known}


def instead(key: str, text: str, known: Mapping[str, Any]) -> str:
    """The words to write for a key and its value; empty if nobody knows."""
    top = groups_of(known)
    others = {name: options for name, options in options_with_setting().items() if name.partition(".")[0] in top}
    group = key if key in top else group_meant(key)
    found = None if group in top else setting_meant(key, [*known, *top], others)
    if found in top:
        group = found
    if group is not None and group in top:
        options = options_of(group)
        meant = f"{group}={text}" if text in options else option_meant(group, text, options)
        return meant_words(meant or f"{group}=<one of {', '.join(options)}>")
    if found is None:
        return ""
    if " " in found:
        return meant_words(found)
    line = f"{found}={_fitting(found, text, known.get(found))}"
    if found in others and found not in known:
        line = f"{found.partition('.')[0]}={others[found][0]} {line}"
    return meant_words(line)


def groups_of(known: Mapping[str, Any]) -> frozenset[str]:
    """The groups that a command chooses from: a run's, or none."""
    return OPTION_GROUPS if "trainer" in known else frozenset()


def _fitting(key: str, text: str, now: Any) -> str:
    """A value as it must be written for a key: brackets around a list, one number for each axis."""
    text = text.strip()
    several = isinstance(now, list) or key.endswith(LISTS)
    if not several or text.startswith("["):
        return text if re.fullmatch(r"[^\s()'\"&;<>|$*?]*", text) else shlex.quote(text)
    inner = text.strip("(){} ")
    if key.endswith(".label_values") and inner.isdigit():  # how many classes there are
        return written(list(range(min(int(inner), 256))))
    if inner.isdigit() and isinstance(now, list):
        inner = ",".join([inner] * len(now))
    return as_list(inner)
