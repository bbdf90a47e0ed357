"""What is done to pictures in training: degradation, blends."""
