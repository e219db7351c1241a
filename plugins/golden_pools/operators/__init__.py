"""One stage of the run per file: hook, rule, defer."""
