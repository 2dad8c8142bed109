"""How a gradient becomes a step. One file an optimizer."""
