"""Records of firings: their checks, their order, and the columns that are made of them. Both lanes use it."""
