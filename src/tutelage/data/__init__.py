"""Text in, windows out; no models."""
