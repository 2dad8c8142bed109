"""A run: built from its recipe, begun or resumed, trained, watched, finished."""
