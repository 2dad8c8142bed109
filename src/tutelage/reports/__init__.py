"""Run directories in, one page out. Nothing here imports torch."""
