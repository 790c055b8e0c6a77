"""Side-by-side measurements with named peers, in one run, printed as ratios (`make bench`)."""
