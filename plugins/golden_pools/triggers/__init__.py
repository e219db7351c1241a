"""One awaited thing per file."""
