"""What the garbage collector looks at: not at what was imported, which stays as long as the process does."""

import gc


def imports_are_done() -> None:
    """Leave what there is by now to the end of the process, and collect among what comes."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
