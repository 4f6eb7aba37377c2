"""What a preset for somebody's own data could be, from a look at the file."""
