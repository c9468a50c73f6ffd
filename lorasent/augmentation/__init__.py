"""Training reviews in other words whose labels stay, and the measurement of whether they do."""
