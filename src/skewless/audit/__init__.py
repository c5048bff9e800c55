"""The audit: who read what of whom, who wrote, on record in sealed files, and found again."""
