"""The modules that touch the disk."""
