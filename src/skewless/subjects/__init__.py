"""What a repo holds of one entity that is a person: where, and all of it."""
