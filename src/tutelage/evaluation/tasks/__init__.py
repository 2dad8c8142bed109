"""One file a task. Each module has a function `task(request)` that gives a `Task`."""
