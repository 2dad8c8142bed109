"""What objectives share: types, log-probabilities, KL, advantages, preferences."""
