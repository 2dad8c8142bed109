"""Teachers: one file for each source of a distribution."""
