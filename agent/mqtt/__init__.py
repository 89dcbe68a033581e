"""Link's parts: the broker's address and one client per connection."""
