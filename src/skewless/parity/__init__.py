"""The proof: what is served is what history gives."""
