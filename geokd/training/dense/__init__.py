"""Training of dense students, which classify every cell: from labelled scenes to the folder of a run."""
