"""Player's parts: libVLC, the formats it is told, and sounds of our own."""
