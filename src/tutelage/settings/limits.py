"""The largest values of settings and options. A larger value is a typing error and would exhaust memory."""

AT_ONCE = 2**20
"""Tokens in a window; windows, texts or sequences in a batch."""
EVER = 10**12
"""Steps, rounds, epochs, words or prompts of a whole run."""
SIDE_BY_SIDE = 1024
"""Processes or requests that run at the same time."""
