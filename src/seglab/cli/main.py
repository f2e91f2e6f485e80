"""`seglab <verb> key=value …`: finds the verb, runs it, and leaves with its exit code."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from seglab.cli.verbs import VERBS, wants_help
from seglab.errors import ConfigError, nearest, run_script
from seglab.extras import check_extras, explained
from seglab.version import version

_MORE = """seglab <verb> --help says what the verb takes. What runs record lies in mlruns/ of the current folder.
Flags without a verb: --version, --completion bash, --completion zsh."""

_FORMER = {"bench-lookalikes": "bench-near-duplicates"}  # verbs that had another name


def script() -> NoReturn:
    """The console script."""
    run_script(lambda: main(sys.argv[1:]))


def former_script(verb: str) -> NoReturn:
    """What `train.py` and the files of `scripts/` do: the verb of that name, with the words that they were given."""
    run_script(lambda: _call(verb, sys.argv[1:]))


def main(words: Sequence[str]) -> int | None:
    """Do what the words of a command line say.

    Args:
        words: verb, and what stands behind it.

    Returns:
        The exit code; None for 0.

    Raises:
        SeglabError: a verb or a setting that cannot be.
    """
    first, rest = (words[0], words[1:]) if words else ("", ())
    if first in ("", "-h", "--help", "help"):
        if first == "help" and rest:
            return main([rest[0], "--help"])
        print(page())
        return 0
    if first in ("-V", "--version"):
        print(f"seglab {version()}")
        return 0
    if first == "--completion":
        from seglab.cli.completion import completion_script

        print(completion_script(rest[0] if rest else ""))
        return 0
    if first == "--complete":
        from seglab.cli.completion import completions

        print("\n".join(completions(rest)))
        return 0
    first = _FORMER.get(first, first)
    if first not in VERBS:
        raise _unknown(first, words)
    sys.argv = [f"seglab {first}", *rest]  # where Hydra looks, and what a run records as its command
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # a module of the user's own beside his conf/, never before an installed one
    return _call(first, rest)


def page() -> str:
    """The list of verbs."""
    width = max(map(len, VERBS))
    lines = [f"  {verb.name:<{width}}  {verb.about}" for verb in VERBS.values()]
    return "\n".join(["usage: seglab <verb> [key=value …]", "", *lines, "", _MORE])


def _call(verb: str, words: Sequence[str]) -> int | None:
    if not wants_help(words):
        check_extras(VERBS[verb].extras, f"seglab {verb}")
    try:
        return VERBS[verb].load()(words)
    except ModuleNotFoundError as error:
        raise explained(error, f"seglab {verb}") from error


def _unknown(word: str, words: Sequence[str]) -> ConfigError:
    if "=" in word or word in ("-m", "--multirun"):
        remedy = f"say the verb first: seglab train {shlex.join(words)}"
    else:
        remedy = nearest(word.replace("_", "-"), VERBS) or "seglab --help lists what each does"
    return ConfigError(
        "unknown verb",
        code="unknown-verb",
        where="command line",
        found=word,
        expected="one of " + ", ".join(VERBS),
        remedy=remedy,
    )
