"""What was wrong with the words of a command, and the words to write instead: Hydra's refusals in the house's form."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from seglab.config.override_syntax import parse_error, refuse_names_in_braces, rejoined, unread_keys
from seglab.config.refusals import as_list, written
from seglab.config.unknown_words import LISTS, SEE_ALL, groups_of, instead, meant_words, unknown_key, unknown_option
from seglab.config.vocabulary import OPTION_GROUPS, composed, groups, options_of, setting_as_typed
from seglab.errors import ConfigError

# Groups of which several options can stand together.
_SEVERAL = frozenset({"experiment", "debug"})


def refuse_at_once(words: Sequence[str], config_name: str) -> None:
    """Refuse what Hydra would take for something else: flags that it does not have, and settings without a value.

    Raises:
        ConfigError: names the word, and what to write instead.
    """
    parser = get_args_parser()

    def unknown(message: str) -> None:
        raise ConfigError(
            "a flag that cannot be read",
            code="invalid-flag",
            where="command line",
            found=message,
            expected="key=value, or a flag of seglab train --hydra-help",
            remedy="seglab train --help",
        )

    parser.error = unknown  # type: ignore[method-assign,assignment]
    known, flags = parser.parse_known_args(words)
    flag = next((word for word in flags if word.startswith("-")), None)
    if flag is not None:
        key, _, value = flag.lstrip("-").partition("=")
        after = words[words.index(flag) + 1 :]
        value = value or (after[0] if after and not after[0].startswith("-") and "=" not in after[0] else "…")
        raise ConfigError(
            "unknown flag",
            code="unknown-flag",
            where=flag,
            found=flag,
            expected="settings as key=value, without hyphens before them",
            remedy=instead(key, value, composed(config_name, [])) or SEE_ALL,
        )
    for word, after in itertools.pairwise([*known.overrides, "="]):
        refuse_names_in_braces(word)
        key, equals, value = word.partition("=")
        if equals and not value.strip() and key.strip():
            raise _without_value(key, after, words, config_name)
        if key in OPTION_GROUPS - _SEVERAL and value.strip().startswith("["):  # Hydra would merge their files
            raise ConfigError(
                f"several options for {key}",
                code="several-options",
                where=key,
                found=value,
                expected="one of " + ", ".join(options_of(key)),
                remedy=f"to try each: seglab train -m {key}={value.strip('[] ')}",
            )


def explain(error: Exception, config_name: str, words: list[str]) -> ConfigError:
    """Say which override Hydra stumbled over, what is allowed in its place and what to write."""
    overrides = []
    for i, word in enumerate(words):
        try:
            overrides.append((OverridesParser.create().parse_override(word), word.partition("=")[2]))
        except HydraException:
            return _unreadable(words, i, config_name)
    chosen = []
    for override, _ in overrides:
        group = override.key_or_group
        if group not in groups():
            continue
        options = options_of(group)
        values = list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.value()]
        for value in values:
            if str(value) not in options:
                return unknown_option(group, value, options)
        chosen.append(f"{group}={values[0]}")
    known = composed(config_name, chosen)
    targets = {key: text for override, text in overrides if (key := override.key_or_group).endswith("._target_")}
    for override, text in overrides:
        key = setting_as_typed(override.key_or_group)
        if key in groups() or key.startswith("hydra") or key in targets:
            continue
        if key not in known:
            return unknown_key(key, text, known, targets)
        if override.is_add() and not override.is_force_add():
            return ConfigError(
                "a setting that exists already",
                code="setting-exists",
                where=f"+{key}",
                found=f"+{key}={text}",
                expected="no + before a setting that the config has",
                remedy=meant_words(f"{key}={text}"),
            )
    for override, text in overrides:
        if override.is_sweep_override() and str(error).startswith("Ambiguous value"):
            return _several(override, text, known)
    causes = (str(one).strip().partition("\n")[0] for one in (error, error.__cause__))
    first = ": ".join(cause for cause in causes if cause not in ("", "None")) or type(error).__name__
    return ConfigError(
        "the configuration cannot be composed",
        code="config-not-composed",
        where=f"conf/{config_name}.yaml",
        found=first,
        expected="yaml files and words that Hydra can join",
        remedy="remove the settings of the command one by one; --cfg job shows the whole config",
    )


def _without_value(key: str, after: str, words: Sequence[str], config_name: str) -> ConfigError:
    known = composed(config_name, _chosen(words))
    key = setting_as_typed(key.lstrip("+~").strip())
    if "=" not in after:
        remedy = f"without spaces around the =: {key}={after}"
    elif key in groups():
        remedy = f"say one, such as {key}={next(iter(options_of(key)))}; there are {', '.join(options_of(key))}"
    elif key in known:
        shown = "…" if known[key] == "???" else written(known[key])
        remedy = f"say one, such as {key}={shown}"
    else:
        remedy = instead(key, "…", known) or SEE_ALL
    expected = "a value after the =, or null for none"
    return ConfigError(
        "a setting without a value",
        code="setting-without-value",
        where=key,
        found=f"{key}=",
        expected=expected,
        remedy=remedy,
    )


def _several(override: Override, text: str, known: Mapping[str, Any]) -> ConfigError:
    """Values with commas between them, where one run is wanted."""
    key = setting_as_typed(override.key_or_group)
    now = known.get(key)
    sweep = f"to try each: seglab train -m {key}={text}"
    if isinstance(now, list) or key.endswith(LISTS):
        remedy = f"did you mean: {key}={as_list(text)}"
    elif isinstance(now, float) and re.fullmatch(r"\d+,\d+", text):
        remedy = f"with a decimal point: {key}={text.replace(',', '.')}; {sweep}"
    elif isinstance(now, str) and key not in groups():
        remedy = f"as one text: \"{key}='{text}'\"; {sweep}"
    else:
        remedy = sweep
    return ConfigError(
        "several values for one run",
        code="several-values",
        where=key,
        found=text,
        expected="one value, or a list as [1,2]",
        remedy=remedy,
    )


def _unreadable(words: Sequence[str], i: int, config_name: str) -> ConfigError:
    word = words[i]
    before, after = (words[i - 1] if i else ""), (words[i + 1] if i + 1 < len(words) else "")
    key, equals, text = word.partition("=")
    known = composed(config_name, _chosen(words))
    setting = setting_as_typed(key.lstrip("+~"))
    remedy = "put key= before it; --help lists every key"
    if equals:
        if setting in groups():
            return unknown_option(setting, text, options_of(setting))
        whole = rejoined(words[i:])
        if re.match(r"\s*\{.*:", text) and (not whole or re.search("[\"']", whole)):
            return parse_error(word, unread_keys(whole or word))
        if whole:
            return parse_error(word, f"without spaces in it: {shlex.quote(whole) if '{' in whole else whole}")
        fitting = as_list(text) if re.fullmatch(r" *[({[].*", text) else ""
        if setting in known and fitting:
            remedy = f"did you mean: {setting}={fitting}"
        elif setting in known or not (remedy := instead(setting, fitting or text, known)):
            quoted = text.replace("'", "\\'")
            remedy = f"quote the value: \"{setting}='{quoted}'\""
    else:
        joined = [f"{word}{after}"] if after.startswith("=") else [f"{before}{word}"] if before.endswith("=") else []
        named, _, value = word.partition(":")
        homes = [
            f"{group}={option}"
            for group in sorted(groups_of(known))
            for option, shown in options_of(group).items()
            if word in (option, shown)
        ]
        if joined:
            remedy = f"without spaces around the =: {joined[0]}"
        elif homes:
            remedy = f"did you mean: {homes[0]}"
        elif word in known and not isinstance(known[word], dict):
            alone = not after or "=" in after or after.startswith("-")
            remedy = f"say a value, such as {word}={written(known[word])}" if alone else meant_words(f"{word}={after}")
        elif word.lower() == "help":
            remedy = "seglab train --help"
        elif "/" in word:  # the folder of the files
            remedy = instead("data.root", word, known) or remedy
        elif re.fullmatch(r"[\w.]+", named):
            remedy = instead(named, value or ("" if "=" in after else after) or "…", known) or remedy
    return parse_error(word, remedy)


def _chosen(words: Sequence[str]) -> list[str]:
    """Those that choose an option that there is."""
    return [word for word in words if word.partition("=")[2] in options_of(word.partition("=")[0])]
