"""A study: which runs it needs, in which order, as which jobs."""
