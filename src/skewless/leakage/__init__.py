"""What in a training set comes from after its label's time."""
