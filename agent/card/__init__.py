"""Sound card's parts: lanes and levels, and the library that drives the device."""
