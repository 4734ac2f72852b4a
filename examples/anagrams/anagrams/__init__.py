"""Words with the same letters."""
