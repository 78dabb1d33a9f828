"""The networks, in PyTorch. They see token ids and integers, and know nothing about music."""
