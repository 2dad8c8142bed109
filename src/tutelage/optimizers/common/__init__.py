"""What the optimizers share: the contract, and the parameters by what they are."""
