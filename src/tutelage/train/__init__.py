"""The only place with a loop, a device and other processes."""
