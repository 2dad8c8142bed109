"""GLUE: data, the classifier on top of the model, fine-tuning and figures."""
