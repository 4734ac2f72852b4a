"""The parts of scripts/bench: what is measured, in what world, and how figures are told."""
