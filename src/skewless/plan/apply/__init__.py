"""What an apply would change, what breaks, and the steps that carry it out."""
