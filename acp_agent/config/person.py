"""Who uses this machine, as the record names them."""

import os
import pwd


def person_name() -> str:
    """The user of this process, by name where there is one. Nobody proves it: it tells people apart, no more."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
