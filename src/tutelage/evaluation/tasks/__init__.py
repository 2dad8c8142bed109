"""One file for each task. Each module has a function `task(request)` that returns a `Task`."""
