"""The training loop, its optimizers, devices, processes and checkpoints."""
