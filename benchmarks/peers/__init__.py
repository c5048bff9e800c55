"""What skewless is measured against."""
