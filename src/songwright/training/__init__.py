"""Training: from prepared corpora to weights. Joins tokens and networks; the only package beside `model` that needs PyTorch."""
