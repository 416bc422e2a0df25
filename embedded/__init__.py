"""Everything on one machine: starts both planes and their parts as processes, imports neither plane."""
