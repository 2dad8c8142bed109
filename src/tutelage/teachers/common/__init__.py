"""The types of what a teacher gives."""
