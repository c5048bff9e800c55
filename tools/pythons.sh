#!/usr/bin/env bash
# The Pythons that skewless supports (the classifiers of pyproject.toml), as far as they are here.
# Usage: tools/pythons.sh           a line each: version, and its program or "not here"
#        tools/pythons.sh 3.12      the program, or nothing and exit code 1
set -euo pipefail
cd "$(dirname "$0")/.."

supported() { sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml; }

program() {  # of a version: on the PATH (a shim of pyenv may not run), else one that pyenv has built
    local found
    for found in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python"$1"; do
        if command -v "$found" >/dev/null && "$found" -c 'import venv, ensurepip' 2>/dev/null; then
            command -v "$found"
            return
        fi
    done
    return 1
}

if [ $# -gt 0 ]; then
    program "$1"
else
    for version in $(supported); do echo "$version $(program "$version" || echo "not here")"; done
fi
