"""What works on this machine, tried rather than guessed, and what to do where something does not."""
