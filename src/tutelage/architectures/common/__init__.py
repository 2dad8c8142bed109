"""What the architectures share: the contract, and how a shape is found by its name."""
