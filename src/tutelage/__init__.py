"""Train small language models under a teacher, on as many words as a child hears."""

__version__ = "0.1.0"
