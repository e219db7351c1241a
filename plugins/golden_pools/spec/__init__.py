"""What the user wants: the pool spec, its loader and its JSON schema."""
