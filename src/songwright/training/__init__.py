"""From prepared corpora to weights. Beside `model` the only package that needs PyTorch."""
