"""Model classes of our own. Each is one file that needs torch and transformers only, and is saved with its models."""
