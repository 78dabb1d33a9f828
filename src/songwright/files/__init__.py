"""The outside world: the only place that parses or writes formats."""
