"""How an estimate moves the coordinates of all matrices: a rule a file, its formula and its source."""
