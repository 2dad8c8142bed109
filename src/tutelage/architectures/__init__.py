"""Models to make with random weights. One file a family, with its named sizes."""
