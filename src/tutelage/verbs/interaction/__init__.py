"""The pieces of `tutelage interact`. A round, top to bottom, is in verbs/interact.py."""
