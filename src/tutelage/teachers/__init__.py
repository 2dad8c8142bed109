"""Where a teacher's distribution comes from: one file a source."""
