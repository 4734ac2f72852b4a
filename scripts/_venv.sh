# Sourced by the other scripts: chooses an interpreter and a virtualenv, so that each works from a bare checkout.
# Sets `root` (the checkout) and, after `use_venv`, `python` (the interpreter to run things with).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 2
}

# Prints the usage comment at the top of a script: everything between its first line and the first line of code.
usage() {
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"
}

is_supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1
}

# `find_python 3.13` prints an interpreter of that version, from PATH or from pyenv's versions; fails when there is none.
find_python() {
    local candidate pyenv_root=${PYENV_ROOT:-}
    if [ -z "$pyenv_root" ] && command -v pyenv >/dev/null; then
        pyenv_root=$(pyenv root)
    fi
    for candidate in "python$1" "${pyenv_root:-/nonexistent}"/versions/"$1".*/bin/python; do
        # A shim may stand on PATH for a version that is not switched on, so an interpreter counts only once it ran.
        if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

choose_python() {
    local candidate
    for candidate in python3 python; do
        if is_supported "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    for candidate in 3.13 3.12 3.11 3.14; do
        find_python "$candidate" && return
    done
    return 1
}

# An active virtualenv is used as it is; `PYTHON=python3.13` asks for one of its own (.venv-3.13); otherwise .venv.
use_venv() {
    local base venv
    if [ -n "${PYTHON:-}" ]; then
        is_supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python from 3.11 to 3.14."
        base=$PYTHON
        venv="$root/.venv-$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    elif [ -n "${VIRTUAL_ENV:-}" ]; then
        venv=$VIRTUAL_ENV
    else
        venv="$root/.venv"
    fi
    python="$venv/bin/python"
    if [ ! -x "$python" ]; then
        base=${base:-$(choose_python)} || fail "no Python from 3.11 to 3.14 found. Install one or set PYTHON."
        echo "Making a virtualenv in $venv" >&2
        "$base" -m venv "$venv" || fail "could not make a virtualenv (Debian: apt-get install python3-venv)."
    fi
    install_test_extra "$venv"
}

# Installs once per state of pyproject.toml; `ACP_NO_INSTALL=1` trusts the environment as it stands.
install_test_extra() {
    local stamp="$1/.acp-agent-installed" wanted
    wanted=$(cksum <"$root/pyproject.toml")
    if [ -n "${ACP_NO_INSTALL:-}" ] || [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
    echo "Installing acp-agent with its test extra" >&2
    (cd "$root" && "$python" -m pip install -qq --disable-pip-version-check --editable '.[test]') ||
        fail "installation failed."
    echo "$wanted" >"$stamp"
}
