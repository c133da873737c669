"""From a folder of photos to a config: what is in it, which networks, what to write."""
