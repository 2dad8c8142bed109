"""A Hugging Face causal LM in, log-probabilities out."""
