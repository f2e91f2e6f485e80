"""Make a run's model the champion, if it passes the gate: python scripts/promote.py run=<id> name=roadseg"""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.errors import ConfigError, nearest, run_script

RUNS = Path("mlruns")
SETTINGS = ("run", "name", "gate", "reason", "licence", "tracking_uri")
HOW = """promote.py run=<id> name=<name> [gate=default] [reason=why] [licence="of the data, for the model card"]
       promote.py rollback name=<name> [reason=why]
       promote.py log name=<name>
All take tracking_uri=… for a store that is not in mlruns/."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Pass a run through a gate, register its model, move the alias champion; or roll back.", usage=HOW
    )
    parser.add_argument("words", nargs="+", help="key=value; rollback swaps champion and previous, log lists them all")
    words = parser.parse_args().words
    verb = next((word for word in words if word in ("rollback", "log")), None)
    given = dict(word.partition("=")[::2] for word in words if word != verb)
    for key in given:
        if key not in SETTINGS:
            remedy = nearest(key, SETTINGS) or "see --help"
            raise ConfigError("unknown setting", where=key, expected="one of " + ", ".join(SETTINGS), remedy=remedy)
    for key in ("name",) if verb else ("run", "name"):
        if not given.get(key):
            raise ConfigError("a missing setting", where=key, remedy=f"give it: {key}=…")

    from seglab.registry.gate import load_gate
    from seglab.registry.promotion import promote, rollback
    from seglab.registry.promotion_log import LOG_FILE, entries, in_words
    from seglab.tracking.store import open_store

    name, reason, gate = given["name"], given.get("reason", ""), load_gate(given.get("gate", "default"))
    store = open_store(given.get("tracking_uri"), RUNS)
    if verb == "log":
        print(*map(in_words, entries(store, name)), sep="\n")
        return 0
    if verb == "rollback":
        now, before = rollback(store, name, reason=reason)
        print(f"{name}: version {now} is champion, version {before} is previous; log: {store.directory / LOG_FILE}")
        return 0
    done = promote(store, store.run(given["run"]), name, gate, reason=reason, licence=given.get("licence", ""))
    print(*(f"  {each}" for each in done.checks), sep="\n")
    if not done.passed:
        print(f"REJECTED: run {given['run']} is not promoted; log: {store.directory / LOG_FILE}")
        return 1
    before = done.former or "none"
    print(f"VALIDATED: version {done.version} is models:/{name}@champion with its card (before: {before})")
    return 0


if __name__ == "__main__":
    run_script(main)
