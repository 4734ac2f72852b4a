"""httpx without its command line, which would import click, rich and pygments: 40 ms and 6 MB that serve nobody."""

import sys

_COMMAND_LINE = "httpx._main"

if "httpx" not in sys.modules:
    # What None stands for cannot be imported; httpx expects that, and does without.
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]
    try:
        import httpx
    finally:
        del sys.modules[_COMMAND_LINE]
else:
    import httpx

__all__ = ["httpx"]
