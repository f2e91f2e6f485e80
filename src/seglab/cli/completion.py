"""Completion in a shell: `source <(seglab --completion bash)`, and what the shell then asks at each tab."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Literal, get_args, get_origin

from seglab.cli.verbs import VERBS
from seglab.errors import ConfigError, nearest

# Bash takes words apart at `=`, so that only what stands behind it is to be given back.
_BASH = r"""_seglab() {
    local line="${COMP_LINE:0:COMP_POINT}" current
    local -a words
    read -ra words <<<"$line"
    [[ "$line" == *" " ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    mapfile -t COMPREPLY < <("${words[0]}" --complete "${words[@]:1}" 2>/dev/null)
    if [[ "$current" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%=*}="}")
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=.] ]] && compopt -o nospace
    return 0
}
complete -o default -F _seglab seglab"""
_ZSH = r"""#compdef seglab
_seglab() {
    local -a found
    found=("${(@f)$("${words[1]}" --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -S '' -- "${found[@]}"; else _files; fi
}
compdef _seglab seglab"""
SHELLS = {"bash": _BASH, "zsh": _ZSH}


def completion_script(shell: str) -> str:
    """What a shell reads to complete the words of `seglab`.

    Raises:
        ConfigError: a shell that there is none for.
    """
    if shell not in SHELLS:
        raise ConfigError(
            "a shell without completion",
            code="unknown-choice",
            where="--completion",
            found=shell or "nothing",
            expected=f"one of {', '.join(SHELLS)}",
            remedy=nearest(shell, SHELLS) or "source <(seglab --completion bash)",
        )
    return SHELLS[shell]


def completions(words: Sequence[str]) -> list[str]:
    """The words that may stand in the place of the last one, which may be cut off anywhere.

    Args:
        words: what stands behind `seglab`; the last is being typed, and may be empty.
    """
    *before, current = words or [""]
    if not before:
        known = [*VERBS, "--help", "--version", "--completion"]
        return [name for name in known if name.startswith(current) and (current or not name.startswith("-"))]
    if before[0] == "--completion":
        return [name for name in SHELLS if name.startswith(current)]
    verb = VERBS.get(before[0])
    if verb is None:
        return []
    known = _of_run(current) if verb.composes else _of_verb(before[0])
    given = {word.partition("=")[0] for word in before[1:]}
    found = [word for word in known if word.startswith(current)]
    return [word for word in found if "=" in current or word.partition("=")[0] not in given]


def _of_run(current: str) -> list[str]:
    """`group=` for each group; behind it the options; behind a point the settings."""
    from seglab.cli.conf_options import GROUPS, options, settings

    group, equals, _ = current.partition("=")
    if equals:
        before = current[: max(current.rfind("="), current.rfind(",")) + 1]  # of a sweep, the options said already
        return [f"{before}{name}" for name in options(group)] if group in GROUPS else []
    if "." in current:
        return [f"{name}=" for name in settings()]
    known = settings()
    single = [f"{name}=" for name in known if "." not in name]
    sections = sorted({name.partition(".")[0] + "." for name in known if "." in name})
    return [*(f"{group}=" for group in GROUPS), *single, *sections, "--help", "--cfg", "-m"]


def _of_verb(name: str) -> list[str]:
    """The settings of a verb, with their values where there are few."""
    if name == "compare":
        from seglab.cli.conf_options import compare_settings

        return [f"{key}=" for key in compare_settings()]
    from seglab.cli.words import settings_of

    module = importlib.import_module(VERBS[name].target.partition(":")[0])
    kind = getattr(module, name.title().replace("-", "") + "Words")
    found = ["--help"]
    for one in settings_of(kind):
        values = list(get_args(one.annotation)) if get_origin(one.annotation) is Literal else []
        values = ["true", "false"] if one.annotation is bool else values
        found += [f"{one.key}={value}" for value in values] or [f"{one.key}="]
        found += [str(value) for value in values if one.positional]
    return found
