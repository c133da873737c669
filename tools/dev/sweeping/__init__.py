"""Parts of the sweep over networks, tools/dev/sweep.py."""
