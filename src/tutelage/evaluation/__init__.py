"""What a model is worth: how texts are scored and results are kept. The tasks themselves are in `tasks/`."""
