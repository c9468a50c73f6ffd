"""What an adapter gets right and wrong, for people and as JSON."""
