"""What a model is worth: one module a task, found by its name, rows out."""
