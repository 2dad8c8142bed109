"""Objectives: one file each, a pure function of (student, batch) to a loss."""
