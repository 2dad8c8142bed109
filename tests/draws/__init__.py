"""Random commands over a small world of files, some of them damaged. A draw is a function of (seed, verb, number)."""
