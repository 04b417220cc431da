"""From files to batches: readers, splits, checks, the token store, batching."""
