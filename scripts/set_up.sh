#!/bin/sh
# The environment that every verb of the Makefile runs in: made, kept up to date, and made anew when it cannot work.
#   sh scripts/set_up.sh [python]     run in the folder of the laboratory; says nothing when all is well
set -u
asked=${1:-}
venv=.venv
python=$venv/bin/python
ready=$venv/.ready     # the requirements are installed
begun=$venv/.begun     # holds the process that installs them; left behind by one that was killed
supported="3.11 3.12"  # as requires-python in pyproject.toml

fail() { echo "error: $1" >&2; exit 2; }

# 3.11 for any Python that starts; nothing for one that does not, such as a link to one that was removed.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

is_supported() { case " $supported " in *" $1 "*) [ -n "$1" ] ;; *) false ;; esac; }

# Why what lies in .venv cannot be used; nothing when it can.
trouble() {
    [ -e "$python" ] || { echo "its Python is gone"; return; }
    version=$(version_of "$python")
    [ -n "$version" ] || { echo "its Python does not start"; return; }
    is_supported "$version" || { echo "it is of Python $version"; return; }
    [ -d "$venv/lib/python$version" ] || { echo "its Python has become $version"; return; }
    if [ -n "$asked" ] && [ "$(version_of "$asked")" != "$version" ]; then
        echo "it is of Python $version"
        return
    fi
    if [ -f "$venv/bin/activate" ]; then
        found=$(sh -c ". $venv/bin/activate && command -v python" 2>/dev/null)
        there=$(cd "$(dirname "${found:-/nowhere}")" 2>/dev/null && pwd -P)
        [ "$there" = "$(cd "$venv/bin" && pwd -P)" ] || { echo "it was made in another folder"; return; }
    fi
    [ ! -e "$begun" ] || echo "its set-up was cut off"
}

# The Python that was asked for, else the first of these that starts and is supported.
choose() {
    if [ -n "$asked" ]; then
        version=$(version_of "$asked")
        [ -n "$version" ] || fail "PYTHON=$asked does not start; seglab needs Python 3.11 or 3.12"
        is_supported "$version" || fail "PYTHON=$asked is Python $version; seglab needs Python 3.11 or 3.12"
        echo "$asked"
        return
    fi
    seen=
    for name in python3.11 python3.12 python3 python; do
        version=$(version_of "$name")
        is_supported "$version" && { echo "$name"; return; }
        seen="$seen${version:+, $name is $version}"
    done
    fail "no Python 3.11 or 3.12 found$seen; install one, or say where it is: make setup PYTHON=/path/to/python3.12"
}

other=$(cat "$begun" 2>/dev/null)
if [ -n "$other" ] && kill -0 "$other" 2>/dev/null; then
    fail "process $other is setting $venv up; wait for it, or remove $begun if it does something else"
fi
why=
if [ -e "$venv" ] || [ -L "$venv" ]; then
    why=$(trouble)
    if [ -z "$why" ] && [ "$ready" -nt requirements.txt ] && [ "$ready" -nt requirements-dev.txt ] &&
        [ "$ready" -nt pyproject.toml ]; then
        exit 0
    fi
fi
if [ -n "$why" ]; then
    chosen=$(choose) || exit 2
    aside=$venv.aside-$(date +%Y%m%d-%H%M%S)
    mv "$venv" "$aside" || fail "$venv cannot be used ($why), nor be moved aside; remove it, then start again"
    echo "$venv cannot be used: $why. It is now $aside, to be removed when you need nothing in it; a new one is made."
fi
if [ ! -e "$venv" ]; then
    chosen=${chosen:-$(choose)} || exit 2
    mkdir "$venv" && echo $$ >"$begun" || fail "$venv cannot be made: see that this folder has room and can be written to"
    "$chosen" -m venv "$venv" || { rm -rf "$venv"; fail "$chosen cannot make $venv (on Debian: apt install python3-venv)"; }
fi
echo "Setting up $venv from requirements-dev.txt (two to three minutes the first time)"
echo $$ >"$begun" || fail "$venv cannot be written to"
"$python" -c 'import pip' 2>/dev/null || "$python" -m ensurepip >/dev/null ||
    { rm -f "$begun"; fail "$venv has no pip and cannot get it; move it away, then start again"; }
"$python" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt ||
    { rm -f "$begun"; fail "requirements-dev.txt was not installed, for the reason above; start again when that is mended"; }
rm -f "$begun"
touch "$ready"
