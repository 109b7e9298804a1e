"""The counting core: pure functions over one key's state."""
