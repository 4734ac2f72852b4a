"""httpx without what serves nobody here: its command line (click, rich, pygments: 40 ms, 6 MB) and HTTP/2 (25 ms).

HTTP/2 is spoken where a client asks for it all the same: it is imported then.
"""

import sys
from importlib import import_module

_LEFT_OUT = ("httpx._main", "h2")

if "httpx" not in sys.modules:
    # What None stands for cannot be imported; httpx and httpcore expect that, and do without.
    hidden = [name for name in _LEFT_OUT if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import httpx

        import_module("httpcore")
    finally:
        for name in hidden:
            del sys.modules[name]
else:
    import httpx

__all__ = ["httpx"]
