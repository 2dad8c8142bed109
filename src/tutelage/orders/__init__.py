"""Orders: which windows of the corpus are read, and in which order. Each module is one."""
