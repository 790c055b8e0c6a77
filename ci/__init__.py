"""One verdict of a pipeline that splits the suites over N jobs, and no hole that looks green."""
