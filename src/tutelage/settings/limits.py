"""The largest numbers that a setting or option takes. Larger ones are typing errors, and would fill the memory."""

AT_ONCE = 2**20
"""Tokens in a window; windows, texts or sequences that are handled together."""
EVER = 10**12
"""Steps, rounds, epochs, words or prompts of a whole run."""
SIDE_BY_SIDE = 1024
"""Processes or requests that run at the same time."""
