"""GLUE: its data, the classifier on top of the model, fine-tuning, figures."""
