"""One file a command, one function a file. The work is done in the rooms below."""
