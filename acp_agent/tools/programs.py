"""Which programs hide what they do behind their words: they run other programs, or code that stands in an argument.

A list of what is known, so it cannot be complete: it makes the names that rules and people see more honest, and is no
boundary. That is the sandbox.
"""

import re
from collections.abc import Sequence

_RUNS_OTHERS_TEXT = """
. : alias ash at awk batch bind builtin busybox bwrap chroot command complete coproc crontab dash doas ed
emacs enable entr env eval ex exec expect fc firejail fish flatpak flock ftp gawk gdb hash ionice ld let
ltrace m4 man mapfile mawk nano nice nohup nsenter nvim parallel pkexec readarray read runuser script select
set setarch setpriv setsid shopt sg socat source ssh stdbuf strace su sudo systemd-run taskset telnet time
timeout toybox trap unalias unshare unset vi view vim watch watchexec wish xargs
"""
_RUNS_OTHERS = frozenset(_RUNS_OTHERS_TEXT.split())
"""Whatever their arguments are: they run other programs, change what names mean, or take programs from their input."""

_INTERPRETERS = re.compile(
    r"(?:bash|sh|zsh|ksh|csh|tcsh|python|pypy|ipython|node|nodejs|deno|bun|perl|ruby|irb|php|lua|luajit|tclsh|"
    r"Rscript|julia|osascript|pwsh|powershell|groovy|scala|elixir|erl|ghci|racket|guile|sbcl|clojure)[\d.]*\Z"
)
_HARMLESS_OPTION = re.compile(r"-(?:[BEIOqsuvV]+|h|W\w+|-help|-version)\Z")
"""Options of an interpreter that take no code; all others may."""

_CODE_IN_C_TEXT = """
cat cc clang cmp cp cut diff du g++ gcc grep egrep fgrep rg head ls md5sum od pytest sha256sum sort stat tail
tr uniq wc zgrep
"""
_CODE_IN_C = frozenset(_CODE_IN_C_TEXT.split())
"""Programs whose `-c` and `-e` are known to take no code."""

_RUNNING_OPTIONS = re.compile(
    r"-(?:exec|execdir|ok|okdir|delete|fprint|fprint0|fprintf|fls)\Z"
    r"|--(?:pre|pre-glob|hostname-bin|upload-pack|receive-pack|exec|exec-batch|exec-path|config-env|eval|expression"
    r"|command|rsh|rsync-path|to-command|checkpoint-action|use-compress-program|compress-program|filter"
    r"|open-files-in-pager|ext-diff|textconv|output|ignore-scripts|script-shell|node-options|init-command|extcmd"
    r"|strip-program|rcfile|init-file|require|import|loader|plugin|wrapper|shell|unzip-command)(?:=|\Z)"
)

_OF_PROGRAM = {
    "git": re.compile(r"-[cxO]|--(?:exec|config-env|extcmd)\b|(?:filter-branch|\w+tool|bisect|foreach|config)\Z"),
    "tar": re.compile(r"-\w*[IF]"),
    "rsync": re.compile(r"-\w*e"),
    "scp": re.compile(r"-[SoF]"),
    "sftp": re.compile(r"-"),
    "zip": re.compile(r"-T"),
    "fd": re.compile(r"-[xX]"),
    "fdfind": re.compile(r"-[xX]"),
    "find": re.compile(r"-(?:exec|ok|delete|fprint|fls)"),
    "make": re.compile(r"[^=]*=|-f|-E|-C|-I"),
    "gmake": re.compile(r"[^=]*=|-f|-E|-C|-I"),
    "cmake": re.compile(r"-P|-E"),
    "sqlite3": re.compile(r""),
    "psql": re.compile(r""),
    "mysql": re.compile(r""),
    "docker": re.compile(r""),
    "podman": re.compile(r""),
    "kubectl": re.compile(r"exec|cp|debug|plugin"),
    "go": re.compile(r"-exec|-toolexec|generate\Z"),
    "cargo": re.compile(r"--config"),
    "gcc": re.compile(r"-(?:wrapper|fplugin|specs|B)|@"),
    "g++": re.compile(r"-(?:wrapper|fplugin|specs|B)|@"),
    "clang": re.compile(r"-(?:fplugin|load|B)|@"),
    "printf": re.compile(r"-v"),
    "test": re.compile(r".*\["),
    "[": re.compile(r".*\["),
    "openssl": re.compile(r"-engine|-provider|engine|provider"),
}  # fmt: skip
"""Of programs: an argument that begins so makes them run something, or leaves their names without meaning."""

_HARMLESS_SED = re.compile(r"(?:\d+|\$)?(?:,(?:\d+|\$))?[pdq=]\Z")
_READS_ONLY_TEXT = """
cat tee grep egrep fgrep wc sort head tail jq tr cut uniq diff
"""
_READS_ONLY = frozenset(_READS_ONLY_TEXT.split())
"""Programs that treat what comes in by standard input as data."""


def hides(words: Sequence[str]) -> str | None:
    """Why a simple command does not say what it does; None where its words tell it."""
    program = words[0].rpartition("/")[2]
    rest = words[1:]
    if program in _RUNS_OTHERS:
        return f"{program} runs other commands or changes what they mean"
    if _INTERPRETERS.match(program):
        return _interpreter(program, rest)
    if program == "sed":
        return None if _harmless_sed(rest) else "sed can run commands and write files"
    for word in rest:
        if _RUNNING_OPTIONS.match(word) or ((own := _OF_PROGRAM.get(program)) and own.match(word)):
            return f"{word.partition('=')[0] or program} makes {program} do something else"
        if re.match(r"-(?:[ceS]\Z|[ce]\W)", word) and program not in _CODE_IN_C:
            return f"{program} {word[:2]} may run what stands in its arguments"
    return None


def takes_data(words: Sequence[str]) -> bool:
    """Whether standard input is only data to the command."""
    return words[0] in _READS_ONLY


def _interpreter(program: str, rest: Sequence[str]) -> str | None:
    for word in rest:
        if word == "-m" and program.startswith(("python", "pypy")):
            return None
        if not word.startswith("-"):
            return None
        if not _HARMLESS_OPTION.match(word):
            return f"{program} {word[:20]} may run code from its arguments"
    if rest and re.match(r"--version\Z|-V\Z|--help\Z", rest[-1]):
        return None
    return f"{program} runs what comes in by standard input"


def _harmless_sed(rest: Sequence[str]) -> bool:
    scripts = [word for word in rest if not word.startswith("-")]
    options = [word for word in rest if word.startswith("-")]
    return (
        bool(scripts)
        and all(option in ("-n", "-E", "-r") for option in options)
        and bool(_HARMLESS_SED.match(scripts[0]))
    )
