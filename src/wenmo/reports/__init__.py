"""Pages of results: one self-contained HTML file each, without scripts and without the network."""
