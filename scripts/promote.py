"""Make a run's model the champion, if it passes the gate: python scripts/promote.py run=<id> name=roadseg"""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.errors import ConfigError, nearest, run_script

RUNS = Path("mlruns")
SETTINGS = ("run", "name", "gate", "reason", "tracking_uri")
HOW = "promote.py run=<id> name=<name> [gate=default] [reason=why] [tracking_uri=…], or promote.py rollback name=<name>"


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Pass a run through a gate, register its model, move the alias champion; or roll back.", usage=HOW
    )
    parser.add_argument("words", nargs="+", help="settings as key=value; rollback swaps champion and previous")
    words = parser.parse_args().words
    back = "rollback" in words
    given = dict(word.partition("=")[::2] for word in words if word != "rollback")
    for key in given:
        if key not in SETTINGS:
            remedy = nearest(key, SETTINGS) or "see --help"
            raise ConfigError("unknown setting", where=key, expected="one of " + ", ".join(SETTINGS), remedy=remedy)
    for key in ("name",) if back else ("run", "name"):
        if not given.get(key):
            raise ConfigError("a missing setting", where=key, remedy=f"give it: {key}=…")

    from seglab.registry.gate import load_gate
    from seglab.registry.promotion import LOG_FILE, promote, rollback
    from seglab.tracking.store import open_store

    name, reason, gate = given["name"], given.get("reason", ""), load_gate(given.get("gate", "default"))
    store = open_store(given.get("tracking_uri"), RUNS)
    if back:
        now, before = rollback(store, name, reason=reason)
        print(f"{name}: version {now} is champion, version {before} is previous; log: {store.directory / LOG_FILE}")
        return 0
    done = promote(store, store.run(given["run"]), name, gate, reason=reason)
    print(*(f"  {each}" for each in done.checks), sep="\n")
    if not done.passed:
        print(f"REJECTED: run {given['run']} is not promoted; log: {store.directory / LOG_FILE}")
        return 1
    print(
        f"VALIDATED: version {done.version} is models:/{name}@champion with its card (before: {done.former or 'none'})"
    )
    return 0


if __name__ == "__main__":
    run_script(main)
