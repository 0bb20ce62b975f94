"""PhysioNet-2012: records, imputation and the data set."""
