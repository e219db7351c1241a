"""Links on tasks, to what they are about in the Azure portal."""
