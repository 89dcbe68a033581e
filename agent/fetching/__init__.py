"""Fetch's parts: one attempt, its name and wire, the cache, a download, a stream."""
