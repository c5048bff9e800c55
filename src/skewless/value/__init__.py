"""What a feature store is worth: measured figures, times what the repo's owner assumes."""
