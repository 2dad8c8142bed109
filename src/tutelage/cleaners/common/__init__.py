"""What cleaners share."""
