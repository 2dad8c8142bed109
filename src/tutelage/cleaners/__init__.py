"""What is removed from the text of a source before it is prepared: one file a kind of source."""
