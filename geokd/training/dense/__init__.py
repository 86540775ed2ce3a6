"""Training of dense students, which answer for every cell: labelled scenes in, a run's folder out."""
