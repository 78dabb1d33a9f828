"""Many songs: sources as published, and the split."""
