"""The console scripts begin here; it alone knows all surfaces, and imports only the one that is asked for."""

import sys


def main() -> None:
    """Run the command line of this process and exit with its code."""
    from acp_agent.surfaces.cli.entry import run_command_line

    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
