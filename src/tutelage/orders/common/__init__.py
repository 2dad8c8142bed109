"""What orders share."""
