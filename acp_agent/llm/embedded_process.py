"""The program the demonstration model runs in: xllamacpp and the weights, asked by lines of JSON.

A process of its own, because native code may die of a signal, cannot be interrupted while it reads a prompt, and keeps
200 MB; the agent must not. Arguments: the GGUF file and the size of the context. It says `{"ready": true}`, or
`{"failed": why}`; then each line on standard input is the body of a completion and is answered by one line. It ends
with standard input, so it never outlives the process that started it. Imports nothing of ours.
"""

import json
import os
import queue
import secrets
import shutil
import sys
import tempfile
import threading
from typing import Any, BinaryIO

_QUIET = -1


def main(arguments: list[str]) -> int:
    """Serve until the end of standard input."""
    # Native code writes to descriptor 1 when it likes; the answers keep one of their own.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="acp-model-") as folder:
        threading.Thread(target=_read, args=(lines, folder), daemon=True).start()
        try:
            model = _loaded(arguments[0], int(arguments[1]), folder)
        except Exception as error:
            _say(answers, json.dumps({"failed": f"{type(error).__name__}: {error}"}))
            return 1
    _say(answers, json.dumps({"ready": True}))
    while True:
        replies: list[str] = []
        try:
            model.handle_completions(lines.get(), replies.append)
        except Exception as error:
            replies = [json.dumps({"error": {"message": f"{type(error).__name__}: {error}"}})]
        _say(answers, (replies or ["{}"])[0].replace("\n", " "))


def _read(lines: "queue.SimpleQueue[str]", folder: str) -> None:
    for line in sys.stdin.buffer:
        lines.put(line.decode("utf-8", "replace"))
    # Whoever asked is gone, and so is the need for what is being computed.
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _say(answers: BinaryIO, line: str) -> None:
    try:
        answers.write(line.encode("utf-8", "replace") + b"\n")
    except OSError:
        os._exit(0)


def _loaded(weights: str, context: int, folder: str) -> Any:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = weights
    settings.n_ctx = context
    settings.n_parallel = 1
    # More threads wait for each other in a busy loop: where others need the cores they are twenty times slower.
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.n_threads_http = 1
    settings.cache_ram_mib = 0
    settings.warmup = settings.ui = settings.endpoint_slots = False
    settings.offline = True
    settings.verbosity = _QUIET
    # The library cannot do without a server of its own: it gets a socket whose folder is gone at once, and a key.
    settings.hostnames = [os.path.join(folder, "model.sock")]
    settings.api_keys = [secrets.token_urlsafe(32)]
    return xllamacpp.Server(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
