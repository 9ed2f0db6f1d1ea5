"""References that tests compare with: slow, plain, and written from the definitions."""
