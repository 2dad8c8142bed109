"""Every setting of a recipe and of a study, with its meaning."""
