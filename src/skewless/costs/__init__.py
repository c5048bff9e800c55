"""What features cost, which nobody uses, and which there are twice."""
