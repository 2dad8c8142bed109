"""What a step makes small: one file an objective, each a pure function of (student, batch)."""
