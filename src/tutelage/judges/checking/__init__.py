"""Whether a judge tells real texts from spoiled ones, and the scores of texts in files."""
