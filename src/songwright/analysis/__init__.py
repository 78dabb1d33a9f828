"""What is in a score: features, repetition, sequences, form. Pure functions."""
