"""Finds and runs the campaigns of tests/campaigns; `scripts/campaign` calls it with the right interpreter."""

import argparse
import ast
import importlib
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CAMPAIGNS = ROOT / "tests" / "campaigns"


def campaigns() -> dict[str, str]:
    """Every campaign with the first line of its docstring, found without importing it."""
    found = {}
    for path in sorted(CAMPAIGNS.glob("[a-z]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem] = docstring.partition("\n")[0]
    return found


def main() -> int:
    """Run the campaign that was named, or list them all."""
    known = campaigns()
    parser = argparse.ArgumentParser(prog="scripts/campaign")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--n", type=int, help="how many tries (default: the campaign's own)")
    parser.add_argument("--seed", type=int, help="repeat the run with this seed (default: a new one)")
    arguments = parser.parse_args()
    if arguments.name is None:
        for name, purpose in known.items():
            print(f"{name:20} {purpose}")
        return 0
    if arguments.name not in known:
        parser.error(f"no campaign {arguments.name!r}; there are: {', '.join(known) or 'none'}")
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"campaign {arguments.name}, seed {seed}", flush=True)
    sys.path.insert(0, str(ROOT))
    campaign = importlib.import_module(f"tests.campaigns.{arguments.name}")
    return int(campaign.main(n=arguments.n, seed=seed))


if __name__ == "__main__":
    sys.exit(main())
