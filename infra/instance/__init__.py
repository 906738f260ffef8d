"""A whole instance in one supervised tree of processes: what `up` and `demo` run."""
