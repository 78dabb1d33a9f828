"""Music of any source to a corpus that networks train on: batches, duplicates, splits, shards."""
